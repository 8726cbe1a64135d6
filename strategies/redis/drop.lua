-- Removes an entry that a reader has met and that is larger than the reader accepts. It does
-- nothing if another entry is there by now.
-- reads and writes: KEYS[1] the value, KEYS[2] the body
-- ARGV:   1 how long an entry may be, 2 the name of the body, or empty: the entry itself is too long
if (typed('STRLEN', KEYS[1]) or 0) > tonumber(ARGV[1]) or ARGV[2] ~= '' and typed('GETRANGE', KEYS[2], 0, 15) == ARGV[2] then
  redis.call('UNLINK', KEYS[1], KEYS[2])
end
return 1
