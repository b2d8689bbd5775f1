-- Read contiguous events, and where the channel begins and ends. Writes nothing.
-- KEYS  1 meta   2 stream   3 epoch
-- ARGV  1 'after' | 'earliest' | 'now' | 'last' | 'recent' | 'tail'   2 the cursor's epoch   3 its offset
--       4 most events   5 most bytes   6 ms since 1970, '' the server's   7 '1': one of pushhub's own
-- Returns  {epoch, oldest offset kept (top + 1 if none), top, entries}; {} when the store has no epoch
--          for this process. No entries where the cursor is a gap. 'tail' lists the newest first.
-- Behind a fence the log is whole, and can be read.
local epoch = epoch_of(KEYS[3]) or (fenced(KEYS[3]))
if not epoch then return {} end
local meta = redis.call('HMGET', KEYS[1], 'top', 'age')
local top, age = tonumber(meta[1]) or floor_of(KEYS[3]), tonumber(meta[2] or 0)
local cutoff = age > 0 and milliseconds(ARGV[6]) - age or nil

-- Aged events may still lie there until the next append; nobody is shown them, the last one excepted,
-- unless the channel is pushhub's own.
local last = ARGV[7] ~= '1' and top
local oldest = top + 1
local from, count = '-', 1
while true do
  local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
  if #entries == 0 then break end
  local found
  for _, entry in ipairs(entries) do
    local offset = offset_of(entry)
    if not cutoff or offset == last or tonumber(field(entry, 't')) >= cutoff then
      oldest, found = offset, true
      break
    end
  end
  if found then break end
  from, count = '(' .. entries[#entries][1], 50
end

local kind, limit, bytes = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local entries = {}
local after
if kind == 'after' then
  after = tonumber(ARGV[3])
  if ARGV[2] ~= epoch or after > top or after < oldest - 1 then after = nil end
elseif kind == 'earliest' then
  after = oldest - 1
elseif kind == 'last' then
  after = math.max(top - 1, oldest - 1)
elseif kind == 'recent' then
  after = math.max(top - 100, oldest - 1)
end

local size, done = 0, false
local function take(batch)
  for _, entry in ipairs(batch) do
    size = size + #field(entry, 'f') + 200
    if #entries > 0 and size > bytes then done = true return end
    entries[#entries + 1] = entry
    if #entries >= limit then done = true return end
  end
  if #batch == 0 then done = true end
end

if after and after < top then
  local start = string.format('%.0f', after + 1)
  repeat
    take(redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', math.min(limit - #entries, 16)))
    if #entries > 0 then start = string.format('%.0f', offset_of(entries[#entries]) + 1) end
  until done
elseif kind == 'tail' and top >= oldest then
  local stop = '+'
  repeat
    local batch = redis.call('XREVRANGE', KEYS[2], stop, string.format('%.0f', oldest), 'COUNT', 16)
    take(batch)
    if #entries > 0 then stop = '(' .. entries[#entries][1] end
  until done
end
return {epoch, oldest, top, entries}
