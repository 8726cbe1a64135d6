-- Reads one entry, see good.lua, and where it is not there grants a lease on its key, unless somebody
-- holds it. The ledger's place in time goes with the lease: store.lua compares it with what was
-- invalidated since.
-- reads:            KEYS[1] the value; the nonces of its tags
-- reads and writes: KEYS[2] the lease, KEYS[3] the ledger of the lane
-- ARGV:    1 prefix of tag keys, or empty: grant the lease whether or not there is an entry,
--          2 token of the lease, 3 its lifetime in ms, 4 an epoch in case there is no ledger,
--          5 lifetime of the ledger in ms: longer than that of any lease that was granted on it
-- returns {value}, or {nil, epoch, sequence}, or {}: somebody else holds the lease
if ARGV[1] ~= '' then
  local value = good(KEYS[1], ARGV[1])
  if value then return {value} end
end
if not redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  -- Somebody holds it, unless it is of another type or does not end: that is no lease, and would never go.
  if typed('GET', KEYS[2]) and redis.call('PTTL', KEYS[2]) >= 0 then return {} end
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
local ledger = typed('HMGET', KEYS[3], 'e', 's')
if not ledger or not ledger[1] or not tonumber(ledger[2]) then
  -- There is none, or none of ours. Of what it has nothing may stay: sequence numbers start anew.
  ledger = {ARGV[4], '0'}
  redis.call('UNLINK', KEYS[3])
  redis.call('HSET', KEYS[3], 'e', ARGV[4], 's', '0')
end
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return {false, ledger[1], ledger[2]}
