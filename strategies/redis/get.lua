-- Reads one entry; see good.lua.
-- reads:   KEYS[1] the value; the nonces of its tags
-- ARGV:    1 prefix of tag keys
-- returns the whole value, or nil
return good(KEYS[1], ARGV[1])
