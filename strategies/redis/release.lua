-- Gives up a lease, if it is still the same one, and tells those who wait for it.
-- reads and writes: KEYS[1] the lease
-- publishes to:     the channel with the name of the lease
-- ARGV:   1 token of the lease
-- returns 1, or 0: there is no such lease, or not yet
if typed('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
redis.call('SPUBLISH', KEYS[1], '')
return 1
