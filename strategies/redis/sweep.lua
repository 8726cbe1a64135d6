-- Removes entries that Clear has made unreadable, and their bodies. An entry names the generation
-- that it was stored in. A body does not, so one without a current entry is removed, unless it may
-- be waiting for its entry.
-- reads:            KEYS[1] the generation of the lane
-- reads and writes: KEYS[2…] by turns a value and its body
-- ARGV:   1 how many ms a body lives that no entry names yet
local generation = typed('GET', KEYS[1]) or ''
for i = 2, #KEYS, 2 do
  local head = typed('GETRANGE', KEYS[i], 0, 28)
  if not head or string.sub(head, 12, 13) ~= '\0\0' or string.sub(head, 14) ~= generation then
    redis.call('UNLINK', KEYS[i])
    if redis.call('PTTL', KEYS[i + 1]) > tonumber(ARGV[1]) then redis.call('UNLINK', KEYS[i + 1]) end
  end
end
return 1
