-- Stores one entry: always, or under a lease that is still good.
-- reads and writes: KEYS[1] the value, KEYS[2] its lease, KEYS[3] the ledger of the lane, KEYS[4…] the
--                   nonces of the tags: all that may be written is named, so that Redis refuses the
--                   script while some of it is on another node (a nonce would be made twice)
-- publishes to:     the channel that is called like the lease, when that was used: others may wait for it
-- ARGV:   1 token of the lease, or empty to store always, 2 epoch and 3 sequence of the lease,
--         4 TTL in ms, 5 format and expiry, 6 payload,
--         then for each tag: name, length of the name in 2 bytes, bucket, a nonce in case it has none
-- returns 1, or 0: the lease is gone, or a tag was invalidated since it was granted
local count = #KEYS - 3
if ARGV[1] ~= '' then
  if typed('GET', KEYS[2]) ~= ARGV[1] then return 0 end
  redis.call('UNLINK', KEYS[2])
  redis.call('SPUBLISH', KEYS[2], '')
  if typed('HGET', KEYS[3], 'e') ~= ARGV[2] then return 0 end
  for i = 0, count - 1 do
    local last = redis.call('HGET', KEYS[3], ARGV[9 + 4 * i])
    if last and (tonumber(last) or math.huge) > tonumber(ARGV[3]) then return 0 end
  end
end
-- From here on whatever fails must not leave the previous value.
redis.call('UNLINK', KEYS[1], KEYS[2])
local ttl = tonumber(ARGV[4])
local header = {ARGV[5], string.char(math.floor(count / 256), count % 256)}
for i = 0, count - 1 do
  local key = KEYS[4 + i]
  local nonce = typed('GET', key)
  if not nonce or #nonce ~= 16 then -- there is none, or none of ours
    nonce = ARGV[10 + 4 * i]
    redis.call('SET', key, nonce, 'PX', ttl)
  elseif redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, ttl)
  end
  header[#header + 1] = ARGV[8 + 4 * i]
  header[#header + 1] = ARGV[7 + 4 * i]
  header[#header + 1] = nonce
end
header[#header + 1] = ARGV[6]
redis.call('SET', KEYS[1], table.concat(header), 'PX', ttl)
return 1
