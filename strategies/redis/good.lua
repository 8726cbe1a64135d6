-- Included by get.lua and lease.lua.
-- good reads one entry, and returns it if it is there, of this format, and none of its tags was
-- invalidated since it was stored: all nonces must be what they were. A nonce that is missing is as
-- good as another one, which is why losing any makes misses and nothing worse. What is no whole entry
-- is none, and no error either: that would keep the key from being filled.
-- reads: the value at key; the nonces of the tags that the value names, below prefix
--
-- An entry: format (1 byte), expiry (8), number of tags (2), for each tag the length of its name (2),
-- the name and the nonce (16), the payload. Numbers are big-endian.
local function good(key, prefix)
  local value = redis.call('GET', key)
  if not value or #value < 11 or string.byte(value, 1) ~= 1 then return false end
  local count = string.byte(value, 10) * 256 + string.byte(value, 11)
  if count == 0 then return value end
  if count > 4096 then return false end -- nobody stores that many; unpack would fail
  local keys, nonces, at = {}, {}, 12
  for i = 1, count do
    if #value < at + 1 then return false end
    local length = string.byte(value, at) * 256 + string.byte(value, at + 1)
    keys[i] = prefix .. string.sub(value, at + 2, at + 1 + length)
    nonces[i] = string.sub(value, at + 2 + length, at + 17 + length)
    at = at + 18 + length
  end
  local now = redis.call('MGET', unpack(keys))
  for i = 1, count do
    if now[i] ~= nonces[i] then return false end
  end
  return value
end
