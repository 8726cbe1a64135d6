-- Makes a lease that is still held live longer, and the ledger that it needs.
-- reads and writes: KEYS[1] the lease, KEYS[2] and KEYS[3] the pages of the lane's ledger
-- ARGV:   1 token of the lease, 2 its lifetime in ms from now, 3 lifetime of the ledger in ms
-- returns 1, or 0: the lease is no longer held with this token
if typed('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3], 'GT')
redis.call('PEXPIRE', KEYS[3], ARGV[3], 'GT')
return 1
