-- Included by every script that reads a key which may hold something of another type, because
-- somebody else wrote it, or an older release.
--
-- typed is like redis.call, but returns false if the key is of another type. The key is not one of
-- ours then, and whoever writes it next replaces it. Redis reports this only by the first word of
-- an error.
local function typed(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.sub(reply.err, 1, 9) == 'WRONGTYPE' then return false end
    error(reply)
  end
  return reply
end
