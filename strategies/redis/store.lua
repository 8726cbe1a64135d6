-- Stores several entries of a lane: always, or each under a lease that is still valid.
-- reads and writes: KEYS[1] and KEYS[2] the current and the earlier page of the lane's ledger, see
--                   invalidate.lua, then for each entry: the value, its lease, the body, then the nonces of the
--                   tags. Everything that may be written is named, so that Redis refuses the script while some
--                   of it is on another node. Otherwise a nonce could be made twice.
-- publishes to:     the channel with the name of the lease, if the lease was used: others may wait for it
-- ARGV:   1 how many entries, then for each: token of the lease, or empty to store always, epoch and sequence of
--         the lease, TTL in ms, format and expiry, payload, name of the body that has the value, or empty, which
--         of the tags it has, in 2 bytes each, then for each tag: name, length of the name in 2 bytes, what it
--         is called in the ledger, a nonce in case it has none
-- returns for each entry 1, or 0: the lease is gone, or a tag was invalidated since it was granted, or the body
--         is gone
local byte = string.byte
local entries = tonumber(ARGV[1])
local firstTag, firstNonce = 2 + 8 * entries, 3 + 3 * entries

local pages, noted = {}, {}

-- page returns the epoch and the beginning of a page of the ledger.
local function page(number)
  if pages[number] == nil then pages[number] = typed('HMGET', KEYS[number], 'e', 'f') end
  return pages[number]
end

-- last returns when a tag was last invalidated, by that page.
local function last(number, tag)
  local at = 2 * tag + number
  if noted[at] == nil then noted[at] = redis.call('HGET', KEYS[number], ARGV[firstTag + 4 * tag + 2]) end
  return noted[at]
end

-- valid reports whether nothing was invalidated since a lease was granted.
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

-- nonceOf returns the nonce of a tag, which lives for as long as the entry.
local function nonceOf(tag, ttl)
  local key = KEYS[firstNonce + tag]
  if not nonces[tag] then
    local nonce = typed('GET', key)
    if not nonce or #nonce ~= 16 then -- there is none, or not one of ours
      nonce = ARGV[firstTag + 4 * tag + 3]
      redis.call('SET', key, nonce, 'PX', ttl)
      lives[tag] = ttl
    else
      lives[tag] = redis.call('PTTL', key)
    end
    nonces[tag] = nonce
  end
  if lives[tag] < ttl then
    redis.call('PEXPIRE', key, ttl)
    lives[tag] = ttl
  end
  return nonces[tag]
end

local lists = {}

-- tagsOf returns which tags an entry has.
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
      local tag = firstTag + 4 * tags[i]
      header[#header + 1] = ARGV[tag + 1]
      header[#header + 1] = ARGV[tag]
      header[#header + 1] = nonceOf(tags[i], ttl)
    end
    headers[list], longest[list] = table.concat(header), ttl
  end
  return headers[list]
end

-- What the leases hold. One that is of another type holds nothing.
local held = {}
if ARGV[2] ~= '' then
  local leases = {}
  for i = 1, entries do leases[i] = KEYS[3 * i + 1] end
  held = redis.call('MGET', unpack(leases))
end

local used = {}

-- admitted reports whether an entry may be stored.
local function admitted(i)
  local first = 2 + 8 * (i - 1)
  local token = ARGV[first]
  if token == '' then return true end
  if held[i] ~= token then return false end
  used[#used + 1] = KEYS[3 * i + 1]
  return valid(ARGV[first + 1], tonumber(ARGV[first + 2]), tagsOf(ARGV[first + 7]))
end

local replies, gone = {}, {}
for i = 1, entries do
  replies[i] = 0
  if admitted(i) then
    replies[i] = 1
    gone[#gone + 1] = KEYS[3 * i]
    gone[#gone + 1] = KEYS[3 * i + 1]
    if ARGV[2 + 8 * (i - 1) + 6] == '' then gone[#gone + 1] = KEYS[3 * i + 2] end
  end
end
if #used > 0 then
  redis.call('UNLINK', unpack(used))
  for i = 1, #used do redis.call('SPUBLISH', used[i], '') end
end
if #gone == 0 then return replies end
-- From here on, whatever fails must not leave the previous values.
redis.call('UNLINK', unpack(gone))
for i = 1, entries do
  local first = 2 + 8 * (i - 1)
  local ttl, name = tonumber(ARGV[first + 3]), ARGV[first + 6]
  if replies[i] == 1 and name ~= '' then
    local body = KEYS[3 * i + 2]
    if typed('GETRANGE', body, 0, 15) == name then
      redis.call('PEXPIRE', body, ttl)
    else
      replies[i] = 0
    end
  end
  if replies[i] == 1 then
    redis.call('SET', KEYS[3 * i], ARGV[first + 4] .. headerOf(ARGV[first + 7], ttl) .. ARGV[first + 5], 'PX', ttl)
  end
end
return replies
