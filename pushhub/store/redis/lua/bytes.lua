-- The retained bytes of a namespace with a limit. The hash of the namespace has their number, `bytes`;
-- the metadata of a channel has those of its own events, `bytes`, from the offset `from` to `upto`.
--
-- An append, a delete and a removal keep both right. A walk (recount.lua) finds what they cannot know:
-- events from before the limit, aged events of channels without appends, and what an older pushhub or an
-- eviction did. It adds up all channels in the order of their names. `place` is the last that it has
-- added, `sum` what it has so far; at its end `sum` becomes `bytes`.

-- What an event costs beside its frame, which has 6 bytes of lengths.
local OVERHEAD = 94

local function text_of(number)
  return string.format('%.0f', number)
end

local function count_of(key)
  return redis.call('HMGET', key, 'bytes', 'place', 'sum')
end

-- Change the bytes of a namespace, in its `count` if that is known, by those of one channel.
local function change_bytes(key, name, change, count)
  if change == 0 then return end
  count = count or count_of(key)
  local bytes = text_of(math.max(0, tonumber(count[1] or 0) + change))
  local place = count[2] or ''
  if place ~= '' and name <= place then
    redis.call('HSET', key, 'bytes', bytes, 'sum', text_of(tonumber(count[3] or 0) + change))
  else
    redis.call('HSET', key, 'bytes', bytes)
  end
end

-- A channel without events any more counts nothing.
local function forget_bytes(key, meta, name)
  local bytes = tonumber(redis.call('HMGET', meta, 'bytes')[1] or 0) or 0
  if bytes > 0 then
    redis.call('HSET', meta, 'bytes', '0')
    change_bytes(key, name, -bytes)
  end
end
