-- Remove channels without a publish for a long time, in one slice. One node at a time claims the work.
-- KEYS  1 epoch   2 names   3 the claim   then the meta, the stream and the namespace of each channel
-- ARGV  1 a fresh epoch     2 the claimant     3 ms until the claim ends
--       4 the place of the walk after this slice, '0' at its end; '' claims, and changes no place
--       5 the age in ms     6 ms since 1970, '' the server's     7 the least high-water mark
--       8 most events to remove   9 most bytes to look at   10 the beginning of pub/sub channels
--      11 the mark of pushhub's own channels   then the name of each channel
-- Returns  {'ok', place, channels that were looked at, channels that were removed}
--          | {'taken'}: another node has the claim, or the pause between two walks is not over
--          | {'fenced', ms left}
local epoch, left = epoch_or(KEYS[1], ARGV[1])
if not epoch then return {'fenced', left} end
local claim = redis.call('HMGET', KEYS[3], 'owner', 'until', 'place')
if claim[1] ~= ARGV[2] and tonumber(claim[2] or 0) > server_time() then return {'taken'} end
local place = ARGV[4] ~= '' and ARGV[4] or claim[3] or '0'
-- A full Redis refuses HSET, except after a write that takes no memory, as DEL is.
redis.call('DEL', KEYS[3])
-- Between two walks the claim has no owner, and holds all the same.
redis.call('HSET', KEYS[3], 'owner', ARGV[4] == '0' and '' or ARGV[2], 'place', place,
  'until', string.format('%.0f', server_time() + tonumber(ARGV[3])))

local now = milliseconds(ARGV[6])
local cutoff = now - tonumber(ARGV[5])
local events, bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
local before = floor_of(KEYS[1])
local floor, looked, removed = before, 0, {}

-- The time of the last publish, and how many events there are; nil for a channel that stays.
local function last_publish(meta, stream, name)
  local count = redis.call('XLEN', stream)
  if count == 0 then
    local used = redis.call('HMGET', meta, 'used')[1]
    -- Not known of channels that were deleted before there was an age: it counts from now on.
    if not used then redis.call('HSET', meta, 'used', string.format('%.0f', now)) end
    return tonumber(used or now), 0
  end
  if string.sub(name, 1, #ARGV[11]) == ARGV[11] then return nil end
  -- No event is older than that, so none of most channels needs a look.
  local since = tonumber(redis.call('HMGET', meta, 'since')[1] or 0)
  if since >= cutoff then return nil end
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  bytes = bytes - #field(last, 'f')
  return tonumber(field(last, 't')), count
end

for i = 1, #ARGV - 11 do
  if events <= 0 or bytes <= 0 then break end
  looked = i
  local meta, stream, name = KEYS[3 * i + 1], KEYS[3 * i + 2], ARGV[11 + i]
  local top = tonumber(redis.call('HMGET', meta, 'top')[1])
  local used, count
  if top then used, count = last_publish(meta, stream, name) end
  if used and used < cutoff then
    if top > floor then
      floor = math.max(tonumber(ARGV[7]), floor)
      while floor < top do floor = 2 * floor end
    end
    events = events - count
    removed[#removed + 1] = {meta, stream, name, count, KEYS[3 * i + 3]}
  end
end

-- The mark first: should the rest fail, no offset is given out twice.
if floor > before then redis.call('HSET', KEYS[1], 'floor', string.format('%.0f', floor)) end
for _, channel in ipairs(removed) do
  forget_bytes(channel[5], channel[1], channel[3])
  redis.call('DEL', channel[1], channel[2])
  redis.call('ZREM', KEYS[2], channel[3])
  if channel[4] > 0 then redis.call('PUBLISH', ARGV[10] .. channel[3], '-') end
end
return {'ok', place, looked, #removed}
