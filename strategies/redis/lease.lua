-- Reads one entry, see good.lua. If there is none, it grants a lease on the key, unless somebody
-- holds it. The lease carries the current state of the ledger: store.lua compares it with what was
-- invalidated since.
-- reads:            the nonces of the value's tags
-- reads and writes: KEYS[1] the value, KEYS[2] the lease, KEYS[3] the current page of the lane's ledger
-- ARGV:    1 prefix of the keys of nonces, or empty: grant the lease even if there is an entry,
--          2 token of the lease, 3 its lifetime in ms, 4 an epoch in case there is no ledger,
--          5 lifetime of the ledger in ms: longer than that of any lease that was granted on it,
--          6 how long an entry may be: a longer one is removed
-- returns {value}, or {nil, epoch, sequence}, or {}: somebody else holds the lease
if ARGV[1] ~= '' then
  if (typed('STRLEN', KEYS[1]) or 0) > tonumber(ARGV[6]) then redis.call('UNLINK', KEYS[1]) end
  local value = good(KEYS[1], ARGV[1])
  if value then return {value} end
end
if not redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  -- Somebody holds it, unless it is of another type or has no expiry. Then it is not a lease, and
  -- would never go away.
  if typed('GET', KEYS[2]) and redis.call('PTTL', KEYS[2]) >= 0 then return {} end
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
local ledger = typed('HMGET', KEYS[3], 'e', 's', 'f')
if not ledger or not ledger[1] or not tonumber(ledger[2]) or not tonumber(ledger[3]) then
  -- There is none, or not one of ours. Nothing of it may stay, because sequence numbers start anew.
  ledger = {ARGV[4], '0'}
  redis.call('UNLINK', KEYS[3])
  redis.call('HSET', KEYS[3], 'e', ARGV[4], 's', '0', 'f', '0', 't', redis.call('TIME')[1] .. '000')
end
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return {false, ledger[1], ledger[2]}
