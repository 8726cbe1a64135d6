-- Invalidates tags in one lane: forgets their nonces, and notes them in the ledger for the leases that
-- are out. The deletion comes first and the script may run when memory is full: a revocation must not
-- be refused.
-- writes: KEYS[1] the ledger of the lane, KEYS[2…] the nonces
-- ARGV:   the buckets of the tags in the ledger
-- returns how much it changed: 0 where nothing was there
local changes = redis.call('UNLINK', unpack(KEYS, 2))
if redis.call('EXISTS', KEYS[1]) == 1 then
  local sequence = redis.pcall('HINCRBY', KEYS[1], 's', 1)
  changes = changes + 1
  if type(sequence) == 'table' then
    -- It is no ledger. Without one no lease that is out is good.
    redis.call('UNLINK', KEYS[1])
    return changes
  end
  for i = 1, #ARGV do
    redis.call('HSET', KEYS[1], ARGV[i], sequence)
  end
end
return changes
