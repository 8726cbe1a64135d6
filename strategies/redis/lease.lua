-- For each of several keys of a lane, reads the entry, see good.lua. If there is none, it grants a
-- lease on the key, unless somebody holds it. The lease carries the current state of the ledger:
-- store.lua compares it with what was invalidated since.
-- reads:            the nonces of the values' tags
-- reads and writes: KEYS[1] the current page of the lane's ledger, then for each key: the value, the lease
-- ARGV:    1 prefix of the keys of nonces, or empty: grant the lease even if there is an entry,
--          2 lifetime of a lease in ms, 3 an epoch in case there is no ledger, 4 lifetime of the
--          ledger in ms: longer than that of any lease that was granted on it, 5 how long an entry
--          may be: a longer one is removed, then for each key: the token of its lease
-- returns for each key: its value; or 1: the lease is granted; or 0: somebody else holds it. If any
--         is granted, the epoch and the sequence follow.
local replies, granted = {}, false

local function grant(lease, token)
  if not redis.call('SET', lease, token, 'NX', 'PX', ARGV[2]) then
    -- Somebody holds it, unless it is of another type or has no expiry. Then it is not a lease, and
    -- would never go away.
    if typed('GET', lease) and redis.call('PTTL', lease) >= 0 then return 0 end
    redis.call('SET', lease, token, 'PX', ARGV[2])
  end
  granted = true
  return 1
end

local keys, read = (#KEYS - 1) / 2, ARGV[1] ~= ''
if read then
  local values = {}
  for i = 1, keys do values[i] = KEYS[2 * i] end
  read = redis.call('EXISTS', unpack(values)) > 0 -- most often there is none
end
for i = 1, keys do
  local key, value = KEYS[2 * i], false
  local length = read and typed('STRLEN', key) or 0
  if length > tonumber(ARGV[5]) then
    redis.call('UNLINK', key)
  elseif length > 0 then
    value = good(key, ARGV[1])
  end
  replies[i] = value or grant(KEYS[2 * i + 1], ARGV[5 + i])
end
if not granted then return replies end
local ledger = typed('HMGET', KEYS[1], 'e', 's', 'f')
if not ledger or not ledger[1] or not tonumber(ledger[2]) or not tonumber(ledger[3]) then
  -- There is none, or not one of ours. Nothing of it may stay, because sequence numbers start anew.
  ledger = {ARGV[3], '0'}
  redis.call('UNLINK', KEYS[1])
  redis.call('HSET', KEYS[1], 'e', ARGV[3], 's', '0', 'f', '0', 't', redis.call('TIME')[1] .. '000')
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
replies[#replies + 1] = ledger[1]
replies[#replies + 1] = ledger[2]
return replies
