-- Included by every script that reads a key of ours which may hold something of another type, because somebody
-- else wrote it, or an older release.
-- typed is redis.call, but returns false where the key is of another type: it is none of ours then, and who
-- writes it next replaces it. Redis tells that by the first word of an error and by nothing else.
local function typed(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.sub(reply.err, 1, 9) == 'WRONGTYPE' then return false end
    error(reply)
  end
  return reply
end
