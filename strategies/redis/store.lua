-- Stores several entries of a lane: always, or each under a lease that is still valid.
-- reads and writes: KEYS[1] and KEYS[2] the current and the earlier page of the lane's ledger, see
--                   invalidate.lua, then the values of all entries, their leases, their bodies, then the nonces of
--                   the tags. Everything that may be written is named, so that Redis refuses the script while some
--                   of it is on another node. Otherwise a nonce could be made twice.
-- publishes to:     the channel with the name of the lease, if the lease was used: others may wait for it
-- ARGV:   1 how many entries, 2 how many runs of entries that are alike, then for each run: how many entries,
--         token of their leases, or empty to store always, epoch and sequence of the leases, TTL in ms, format and
--         expiry, which of the tags they have, in 2 bytes each, then the payload of each entry, then for each tag:
--         length of the name in 2 bytes and name, what it is called in the ledger, a nonce in case it has none
-- returns for each entry 1, or 0: the lease is gone, or a tag was invalidated since it was granted, or the body
--         is gone
local call, byte, sub = redis.call, string.byte, string.sub
local entries, runs = tonumber(ARGV[1]), tonumber(ARGV[2])
local leases, bodies, nonceKeys = 2 + entries, 2 + 2 * entries, 3 + 3 * entries -- where in KEYS
local payloads, names = 2 + 7 * runs, 3 + 7 * runs + entries -- where in ARGV

local pages, noted = {}, {}

-- page returns the epoch and the beginning of a page of the ledger.
local function page(number)
  if pages[number] == nil then pages[number] = typed('HMGET', KEYS[number], 'e', 'f') end
  return pages[number]
end

-- last returns when a tag was last invalidated, by that page.
local function last(number, tag)
  local at = 2 * tag + number
  if noted[at] == nil then noted[at] = call('HGET', KEYS[number], ARGV[names + 3 * tag + 1]) end
  return noted[at]
end

-- valid reports whether nothing was invalidated since leases were granted.
local function valid(epoch, since, tags)
  local current, count = page(1), 1
  if not current or current[1] ~= epoch then return false end
  if since < (tonumber(current[2]) or math.huge) then -- the page was turned since
    local earlier = page(2)
    if not earlier or earlier[1] ~= epoch then return false end
    if since < (tonumber(earlier[2]) or math.huge) then return false end
    count = 2
  end
  for i = 1, #tags do
    for number = 1, count do
      local at = last(number, tags[i])
      if at and (tonumber(at) or math.huge) > since then return false end
    end
  end
  return true
end

local nonces, lives = {}, {}

-- nonceOf returns the nonce of a tag, which lives for at least as long as the entry. Every write of
-- a nonce reaches all processes that have entries of this tag in memory, and makes them forget these.
-- So it is given twice the time, and is written again only after half of that has passed.
local function nonceOf(tag, ttl)
  local key = KEYS[nonceKeys + tag]
  if not nonces[tag] then
    local nonce = typed('GET', key)
    if not nonce or #nonce ~= 16 then -- there is none, or not one of ours
      nonce = ARGV[names + 3 * tag + 2]
      call('SET', key, nonce, 'PX', 2 * ttl)
      lives[tag] = 2 * ttl
    else
      lives[tag] = call('PTTL', key)
    end
    nonces[tag] = nonce
  end
  if lives[tag] < ttl then
    call('PEXPIRE', key, 2 * ttl)
    lives[tag] = 2 * ttl
  end
  return nonces[tag]
end

local lists = {}

-- tagsOf returns which tags the entries of a run have.
local function tagsOf(list)
  local tags = lists[list]
  if not tags then
    tags = {}
    for at = 1, #list, 2 do
      local high, low = byte(list, at, at + 1)
      tags[#tags + 1] = high * 256 + low
    end
    lists[list] = tags
  end
  return tags
end

local headers, longest = {}, {}

-- headerOf returns what an entry with such tags has before its payload.
local function headerOf(list, ttl)
  if not headers[list] or longest[list] < ttl then
    local tags = tagsOf(list)
    local header = {string.char(math.floor(#tags / 256), #tags % 256)}
    for i = 1, #tags do
      header[#header + 1] = ARGV[names + 3 * tags[i]]
      header[#header + 1] = nonceOf(tags[i], ttl)
    end
    headers[list], longest[list] = table.concat(header), ttl
  end
  return headers[list]
end

-- What the leases hold. One that is of another type holds nothing.
local held = {}
if ARGV[4] ~= '' then held = call('MGET', unpack(KEYS, leases + 1, bodies)) end

local replies, used, gone, i = {}, {}, {}, 0
for run = 1, runs do
  local at = 7 * run - 4
  local token = ARGV[at + 1]
  local always, large = token == '', byte(ARGV[at + 5]) == 4
  local unchanged = always or valid(ARGV[at + 2], tonumber(ARGV[at + 3]), tagsOf(ARGV[at + 6]))
  for _ = 1, tonumber(ARGV[at]) do
    i = i + 1
    local lease, mine = KEYS[leases + i], always
    if held[i] == token then
      mine, used[#used + 1] = true, lease
    end
    if mine then gone[#gone + 1] = lease end
    replies[i] = 0
    if mine and unchanged then
      replies[i] = 1
      gone[#gone + 1] = KEYS[2 + i]
      if not large then gone[#gone + 1] = KEYS[bodies + i] end
    end
  end
end
if #gone == 0 then return replies end
-- From here on, whatever fails must not leave the previous values.
call('UNLINK', unpack(gone))
for n = 1, #used do call('SPUBLISH', used[n], '') end
i = 0
for run = 1, runs do
  local at = 7 * run - 4
  local ttl, head = ARGV[at + 4], nil
  local large = byte(ARGV[at + 5]) == 4
  for _ = 1, tonumber(ARGV[at]) do
    i = i + 1
    if replies[i] == 1 and large then
      local body, name = KEYS[bodies + i], sub(ARGV[payloads + i], 1, 16)
      if typed('GETRANGE', body, 0, 15) == name then
        call('PEXPIRE', body, ttl)
      else
        replies[i] = 0
      end
    end
    if replies[i] == 1 then
      head = head or ARGV[at + 5] .. headerOf(ARGV[at + 6], tonumber(ttl))
      call('SET', KEYS[2 + i], head .. ARGV[payloads + i], 'PX', ttl)
    end
  end
end
return replies
