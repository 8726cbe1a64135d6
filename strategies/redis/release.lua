-- Gives a lease up, if it is still the same.
-- reads and writes: KEYS[1] the lease
-- ARGV:   1 token of the lease
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('UNLINK', KEYS[1]) end
return 1
