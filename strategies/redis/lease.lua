-- For each of several keys of a lane, reads the entry, see good.lua. If there is none, it grants a
-- lease on the key, unless somebody holds it. The lease carries the current state of the ledger:
-- store.lua compares it with what was invalidated since.
-- reads:            the nonces of the values' tags
-- reads and writes: KEYS[1] the current page of the lane's ledger, then the values of all keys, then their leases
-- ARGV:    1 prefix of the keys of nonces, or empty: grant the lease even if there is an entry,
--          2 lifetime of a lease in ms, 3 an epoch in case there is no ledger, 4 lifetime of the
--          ledger in ms: longer than that of any lease that was granted on it, 5 how long an entry
--          may be: a longer one is removed, 6 the token of the leases
-- returns for each key: its value; or 1: the lease is granted; or 0: somebody else holds it. If any
--         is granted, the epoch and the sequence follow.
local call, ttl, token = redis.call, ARGV[2], ARGV[6]
local keys, read, most = (#KEYS - 1) / 2, ARGV[1] ~= '', tonumber(ARGV[5])
local replies, granted = {}, false

-- heal grants a lease that is there, if it is none: it is of another type, or has no expiry, and
-- would never go away.
local function heal(lease)
  if typed('GET', lease) and call('PTTL', lease) >= 0 then return false end
  return call('SET', lease, token, 'PX', ttl)
end

if read then read = call('EXISTS', unpack(KEYS, 2, 1 + keys)) > 0 end -- most often there is none
for i = 1, keys do
  local key, value = KEYS[1 + i], false
  local length = read and typed('STRLEN', key) or 0
  if length > most then
    call('UNLINK', key)
  elseif length > 0 then
    value = good(key, ARGV[1])
  end
  if value then
    replies[i] = value
  else
    local lease = KEYS[1 + keys + i]
    if call('SET', lease, token, 'NX', 'PX', ttl) or heal(lease) then
      replies[i], granted = 1, true
    else
      replies[i] = 0
    end
  end
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
