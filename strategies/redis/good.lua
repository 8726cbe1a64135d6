-- Included by get.lua and lease.lua, after typed.lua.
--
-- good returns the entry at key, if there is one of this format and none of its tags was
-- invalidated since it was stored. That is so if each tag still has the nonce that the entry names.
-- A nonce that is missing, or of another type, counts as a different one. So losing a nonce causes
-- misses, and nothing worse. An entry that is incomplete counts as none. It is not an error,
-- because an error would keep the key from being filled.
-- reads: the value at key; the nonces of the tags that the value names, below prefix
--
-- An entry consists of: format (1 byte), expiry (8), number of tags (2); for each tag the length of
-- its name (2), the name, and the nonce (16); the payload. Numbers are big-endian. In format 3 the
-- payload is the value. In format 4 it is the name of the body that has the value (16), and the
-- length of the value (8); see store.lua. The first tag has no name: its nonce is the generation of
-- the lane.
--
-- A GET for each nonce is cheaper than one MGET, whose arguments and reply would be tables.
local byte, sub = string.byte, string.sub
local function good(key, prefix)
  local value = typed('GET', key)
  if not value or #value < 11 or byte(value, 1) ~= 3 and byte(value, 1) ~= 4 then return false end
  local high, low = byte(value, 10, 11)
  local at = 12
  for _ = 1, high * 256 + low do
    if #value < at + 1 then return false end
    high, low = byte(value, at, at + 1)
    local last = at + 1 + high * 256 + low
    if typed('GET', prefix .. sub(value, at + 2, last)) ~= sub(value, last + 1, last + 16) then return false end
    at = last + 17
  end
  return value
end
