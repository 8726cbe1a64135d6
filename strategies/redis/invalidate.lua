-- Invalidates tags in one lane: deletes their nonces, and records them in the ledger for the leases
-- that exist. The deletion comes first, and the script may run when memory is full, because a
-- revocation must not be refused.
--
-- The ledger consists of two pages, which are hashes of tag to sequence number. The current page
-- holds everything that was recorded after its f. The earlier page holds everything from its own f
-- to that. A page is turned when it is full. It is also turned when it has some tags and every
-- older lease has expired. Both cost the same, whatever a page holds. What the earlier page held is
-- then forgotten, and store.lua refuses leases from before it.
-- writes: KEYS[1] the current page, KEYS[2] the earlier one, KEYS[3…] the nonces
-- ARGV:   1 how many ms a lease may live, then what each tag is called in the ledger
-- returns how much it changed: 0 if nothing was there
local full, some = 32768, 1024
local changes = redis.call('UNLINK', unpack(KEYS, 3))
if redis.call('EXISTS', KEYS[1]) == 0 then return changes end
local sequence = redis.pcall('HINCRBY', KEYS[1], 's', 1)
local size = type(sequence) == 'number' and redis.call('HLEN', KEYS[1])
local page = size and size > some and redis.call('HMGET', KEYS[1], 'e', 't')
if not size or page and not page[1] then
  -- This is not a ledger. Without one, no existing lease is valid.
  redis.call('UNLINK', KEYS[1])
  return changes + 1
end
if page then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if size > full or now - (tonumber(page[2]) or 0) > tonumber(ARGV[1]) then
    local life = redis.call('PTTL', KEYS[1])
    redis.call('UNLINK', KEYS[2])
    redis.call('RENAME', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[1], 'e', page[1], 's', sequence, 'f', sequence - 1, 't', now)
    redis.call('PEXPIRE', KEYS[1], life)
  end
end
local notes = {}
for i = 2, #ARGV do
  notes[#notes + 1] = ARGV[i]
  notes[#notes + 1] = sequence
end
redis.call('HSET', KEYS[1], unpack(notes))
return changes + 1
