-- Append one event: epoch, idempotency key, condition, next offset, log, trim, wake; one atomic step.
-- KEYS  1 meta   2 stream   3 idempotency key   4 epoch   5 names   6 the namespace, where it has a limit
-- ARGV  1 a fresh epoch           2 the event's frame        3 events to keep
--       4 ms to keep them, 0 any  5 '' | 'any' | 'none' | cursors one of which must be the last
--       6 fingerprint, '' without an idempotency key         7 ms to remember the key
--       8 ms since 1970, '' the server's                     9 pub/sub channel
--      10 the name for the list, '' for pushhub's own       11 the event's id, '' its cursor
--      12 the limit in bytes of the namespace, where there is one; else nothing, or ''
--      13 the trace context of the publish, where it is traced
-- Returns  {'ok', epoch, offset, '1' if the channel is new} | {'duplicate', epoch, offset, id, the store's epoch}
--          | {'mismatch', epoch, offset of the last event, or nothing} | {'reused'}
--          | {'full'}: the namespace has no room   | {'fenced', ms left}
local epoch, left = epoch_or(KEYS[4], ARGV[1])
if not epoch then return {'fenced', left} end
local now = milliseconds(ARGV[8])
local fingerprint, remember = ARGV[6], tonumber(ARGV[7])

if fingerprint ~= '' then
  local used = redis.call('HMGET', KEYS[3], 'fingerprint', 'epoch', 'offset', 'id', 'time')
  if used[1] and now - tonumber(used[5]) <= remember then
    if used[1] ~= fingerprint then return {'reused'} end
    -- A write, so that a WAIT after it waits for the event of then as well.
    redis.call('PEXPIRE', KEYS[3], remember)
    return {'duplicate', used[2], used[3], used[4], epoch}
  end
end

-- With a limit the functions of bytes.lua are there.
local limit = tonumber(ARGV[12])
local meta = limit and redis.call('HMGET', KEYS[1], 'top', 'age', 'since', 'bytes', 'from', 'upto')
  or redis.call('HMGET', KEYS[1], 'top', 'age', 'since')
local top, age, age_before = tonumber(meta[1]), tonumber(ARGV[4]), tonumber(meta[2] or 0)
-- In pushhub's own channels the last event does not survive age.
local is_own = ARGV[10] == ''

local function last_event()
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if last and is_own and age_before > 0 and tonumber(field(last, 't')) < now - age_before then
    return nil
  end
  return last
end

if ARGV[5] ~= '' then
  local last = last_event()
  local cursor = last and (field(last, 'e') .. '-' .. offset_of(last))
  local meets
  if ARGV[5] == 'any' then
    meets = cursor
  elseif ARGV[5] == 'none' then
    meets = not cursor
  else
    meets = cursor and string.find(' ' .. ARGV[5] .. ' ', ' ' .. cursor .. ' ', 1, true)
  end
  if not meets then
    if not last then return {'mismatch'} end
    return {'mismatch', field(last, 'e'), offset_of(last)}
  end
end

local created = top and '' or '1'
if not top then
  -- The stream outliving its meta would take somebody's hand; offsets must not restart even then.
  local last = last_event()
  top = last and offset_of(last) or floor_of(KEYS[4])
end
local events = redis.call('XLEN', KEYS[2])
local is_first = events == 0
-- No event is older than that: most appends need not look.
local since = is_first and now or tonumber(meta[3] or 0)
-- What the count of the namespace has to know of each event that goes; nil without a limit.
local note_dropped

-- Events before `stays` that are older than `most` go.
local function drop_aged(most, stays)
  while most > 0 and since < now - most do
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    if not oldest then return end
    local time = tonumber(field(oldest, 't'))
    if offset_of(oldest) >= stays or time >= now - most then
      since = time
      return
    end
    redis.call('XDEL', KEYS[2], oldest[1])
    events = events - 1
    if note_dropped then note_dropped(oldest) end
  end
end

-- The channel's count, and by how much this append changes it.
local bytes, from, upto, change
if limit then
  bytes, from, upto, change = tonumber(meta[4]), tonumber(meta[5]), tonumber(meta[6]), 0
  if is_first then
    change, bytes, from, upto = -(bytes or 0), 0, top + 1, top
  end
  note_dropped = function(entry)
    local offset = offset_of(entry)
    if bytes and from ~= offset then
      -- A pushhub without the limit has removed events: the walk counts this channel again.
      bytes, change = nil, change - bytes
    end
    if bytes and offset <= upto then
      local size = #field(entry, 'f') + OVERHEAD
      bytes, change = bytes - size, change - size
    end
    from = offset + 1
  end
end

-- What was too old yesterday is not brought back by a longer age today.
if age_before ~= age then drop_aged(age_before, is_own and top + 1 or top) end

if limit then
  -- What has gone, whether the event has room or not.
  if change ~= 0 then
    redis.call('HSET', KEYS[1], 'bytes', bytes and text_of(bytes) or '', 'from', text_of(from or 0))
    change_bytes(KEYS[6], ARGV[10], change)
    change = 0
  end
  -- The events that go with this one, which trimming will not list.
  local size, leaving = #ARGV[2] + OVERHEAD, 0
  local over = events + 1 - tonumber(ARGV[3])
  local cutoff = age > 0 and now - age or 0
  if over > 0 or since < cutoff then
    local start, stays = '-', false
    repeat
      local entries = redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', math.max(1, math.min(over, 16)))
      for _, entry in ipairs(entries) do
        stays = over <= 0 and tonumber(field(entry, 't')) >= cutoff
        if stays then break end
        leaving, over, start = leaving + #field(entry, 'f') + OVERHEAD, over - 1, '(' .. entry[1]
        note_dropped(entry)
      end
    until stays or #entries == 0
  end
  note_dropped = nil
  local count = count_of(KEYS[6])
  if size > leaving and tonumber(count[1] or 0) + change + size > limit then return {'full'} end
  if bytes and upto == top then bytes, upto, change = bytes + size, top + 1, change + size end
  change_bytes(KEYS[6], ARGV[10], change, count)
end

local offset = string.format('%.0f', top + 1)
local context = ARGV[13]
if context then
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], offset .. '-0', 'e', epoch, 't', now, 'f', ARGV[2], 'p', context)
else
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], offset .. '-0', 'e', epoch, 't', now, 'f', ARGV[2])
end
-- The event just appended stays, whatever its age.
drop_aged(age, top + 1)
if is_own and age > 0 then
  -- A channel without appends expires by itself: the process that would delete it may be dead.
  redis.call('PEXPIRE', KEYS[2], age)
elseif age_before > 0 then
  redis.call('PERSIST', KEYS[2])
end
if limit then
  redis.call('HSET', KEYS[1], 'top', offset, 'age', ARGV[4], 'since', string.format('%.0f', since),
    'bytes', bytes and text_of(bytes) or '', 'from', text_of(from or 0), 'upto', text_of(upto or 0))
elseif age == age_before and since == tonumber(meta[3]) then
  redis.call('HSET', KEYS[1], 'top', offset)
else
  redis.call('HSET', KEYS[1], 'top', offset, 'age', ARGV[4], 'since', string.format('%.0f', since))
end

if fingerprint ~= '' then
  local id = ARGV[11] ~= '' and ARGV[11] or (epoch .. '-' .. offset)
  redis.call('HSET', KEYS[3], 'fingerprint', fingerprint, 'epoch', epoch, 'offset', offset,
    'id', id, 'time', now)
  redis.call('PEXPIRE', KEYS[3], remember)
end
if is_first and ARGV[10] ~= '' then redis.call('ZADD', KEYS[5], 0, ARGV[10]) end
-- A version that knows no trace context cannot read such a message, and reads the log.
redis.call('PUBLISH', ARGV[9], (context and 'trace ' .. context .. ' ' or '') .. epoch .. ' ' .. offset .. ' ' .. string.format('%.0f', now) .. ' ' .. ARGV[2])
return {'ok', epoch, offset, created}
