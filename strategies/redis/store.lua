-- Stores one entry: always, or under a lease that is still valid.
-- reads and writes: KEYS[1] the value, KEYS[2] its lease, KEYS[3] and KEYS[4] the current and the earlier
--                   page of the lane's ledger, see invalidate.lua, KEYS[5] the body, KEYS[6…] the nonces of
--                   the tags. Everything that may be written is named, so that Redis refuses the script
--                   while some of it is on another node. Otherwise a nonce could be made twice.
-- publishes to:     the channel with the name of the lease, if the lease was used: others may wait for it
-- ARGV:   1 token of the lease, or empty to store always, 2 epoch and 3 sequence of the lease,
--         4 TTL in ms, 5 format and expiry, 6 payload, 7 name of the body that has the value, or empty,
--         then for each tag: name, length of the name in 2 bytes, what it is called in the ledger, a nonce
--         in case it has none
-- returns 1, or 0: the lease is gone, or a tag was invalidated since it was granted, or the body is gone
local count = #KEYS - 5
if ARGV[1] ~= '' then
  if typed('GET', KEYS[2]) ~= ARGV[1] then return 0 end
  redis.call('UNLINK', KEYS[2])
  redis.call('SPUBLISH', KEYS[2], '')
  local page, since, pages = typed('HMGET', KEYS[3], 'e', 'f'), tonumber(ARGV[3]), 1
  if not page or page[1] ~= ARGV[2] then return 0 end
  if since < (tonumber(page[2]) or math.huge) then -- the page was turned since
    local earlier = typed('HMGET', KEYS[4], 'e', 'f')
    if not earlier or earlier[1] ~= ARGV[2] then return 0 end
    if since < (tonumber(earlier[2]) or math.huge) then return 0 end
    pages = 2
  end
  for i = 0, count - 1 do
    for number = 1, pages do
      local last = redis.call('HGET', KEYS[2 + number], ARGV[10 + 4 * i])
      if last and (tonumber(last) or math.huge) > since then return 0 end
    end
  end
end
-- From here on, whatever fails must not leave the previous value.
redis.call('UNLINK', KEYS[1], KEYS[2])
local ttl = tonumber(ARGV[4])
if ARGV[7] == '' then
  redis.call('UNLINK', KEYS[5])
elseif typed('GETRANGE', KEYS[5], 0, 15) == ARGV[7] then
  redis.call('PEXPIRE', KEYS[5], ttl)
else
  return 0
end
local header = {ARGV[5], string.char(math.floor(count / 256), count % 256)}
for i = 0, count - 1 do
  local key = KEYS[6 + i]
  local nonce = typed('GET', key)
  if not nonce or #nonce ~= 16 then -- there is none, or not one of ours
    nonce = ARGV[11 + 4 * i]
    redis.call('SET', key, nonce, 'PX', ttl)
  elseif redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, ttl)
  end
  header[#header + 1] = ARGV[9 + 4 * i]
  header[#header + 1] = ARGV[8 + 4 * i]
  header[#header + 1] = nonce
end
header[#header + 1] = ARGV[6]
redis.call('SET', KEYS[1], table.concat(header), 'PX', ttl)
return 1
