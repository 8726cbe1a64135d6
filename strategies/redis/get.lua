-- Reads one entry; see good.lua.
-- reads:   KEYS[1] the value; the nonces of its tags
-- ARGV:    1 prefix of the keys of nonces, 2 how long an entry may be
-- returns the whole value; or nil; or 0: it is longer, and is not sent
if (typed('STRLEN', KEYS[1]) or 0) > tonumber(ARGV[2]) then return 0 end
return good(KEYS[1], ARGV[1])
