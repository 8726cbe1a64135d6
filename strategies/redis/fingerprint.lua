-- Replaces the fingerprint of a namespace, and answers with what is there then.
-- KEYS[1] the fingerprint; ARGV[1] what it is thought to be, '' for none or something that is not a
-- string, ARGV[2] what it becomes, ARGV[3] for how many milliseconds, 0 for ever.
local now = redis.pcall('GET', KEYS[1])
if type(now) == 'table' then now = false end
if (now or '') ~= ARGV[1] then return now end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return ARGV[2]
