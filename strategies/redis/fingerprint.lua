-- Replaces the fingerprint of a namespace, unless it has changed.
-- reads and writes: KEYS[1] the fingerprint
-- ARGV:   1 what it is expected to be, '' for none or for something that is not a string,
--         2 what it becomes, 3 for how many ms, 0 for ever
-- returns what is there then
local now = redis.pcall('GET', KEYS[1])
if type(now) == 'table' then now = false end
if (now or '') ~= ARGV[1] then return now end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return ARGV[2]
