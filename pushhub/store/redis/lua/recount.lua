-- Count the bytes of a namespace, and remove what is aged, in one slice of its channels. One node at a
-- time claims the work.
-- KEYS  1 epoch   2 names   3 the namespace   then the meta and the stream of each channel
-- ARGV  1 a fresh epoch   2 ms since 1970, '' the server's   3 the claimant   4 ms until the claim ends
--       5 ms until the next walk may begin   6 the beginning of the names   7 what all names are before
--       8 most channels   9 most events to look at   10 most bytes   then the name of each channel
-- Returns  {'ok', the names of the next slice; none at the end} | {'fenced', ms left}
--          | {'taken'}: another node has the claim, or the pause between two walks is not over
local epoch, left = epoch_or(KEYS[1], ARGV[1])
if not epoch then return {'fenced', left} end
local claim = redis.call('HMGET', KEYS[3], 'owner', 'until', 'place', 'sum')
if claim[1] ~= ARGV[3] and tonumber(claim[2] or 0) > server_time() then return {'taken'} end
local place, sum = claim[3] or '', tonumber(claim[4] or 0)

local function names_after()
  local least = place == '' and '[' .. ARGV[6] or '(' .. place
  return redis.call('ZRANGEBYLEX', KEYS[2], least, '(' .. ARGV[7], 'LIMIT', 0, ARGV[8])
end

local now = milliseconds(ARGV[2])
local events, bytes_left = tonumber(ARGV[9]), tonumber(ARGV[10])

local function looks_at(entry)
  local size = #field(entry, 'f')
  events, bytes_left = events - 1, bytes_left - size
  return size + OVERHEAD
end

-- Count a channel as far as the slice allows: its bytes, or nil where it has more to count.
local function count_channel(meta, stream, name)
  local found = redis.call('HMGET', meta, 'top', 'age', 'since', 'bytes', 'from', 'upto')
  local top, age = tonumber(found[1] or 0), tonumber(found[2] or 0)
  local bytes, from, upto = tonumber(found[4]), tonumber(found[5]), tonumber(found[6])
  local change = 0
  local function save()
    redis.call('HSET', meta, 'bytes', text_of(bytes), 'from', text_of(from), 'upto', text_of(upto))
    -- The place is before this channel.
    change_bytes(KEYS[3], name, change)
  end
  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not oldest then
    change, bytes, from, upto = -(bytes or 0), 0, top + 1, top
    save()
    return 0
  end
  if not bytes or from ~= offset_of(oldest) then
    change, bytes, from = -(bytes or 0), 0, offset_of(oldest)
    upto = from - 1
  end
  if age > 0 and tonumber(found[3] or 0) < now - age then
    while oldest and offset_of(oldest) < top and tonumber(field(oldest, 't')) < now - age do
      local size = looks_at(oldest)
      redis.call('XDEL', stream, oldest[1])
      if offset_of(oldest) <= upto then bytes, change = bytes - size, change - size end
      oldest = events > 0 and bytes_left > 0 and redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    end
    if not oldest then
      -- Count it again from its present beginning.
      change, bytes, from, upto = change - bytes, 0, 0, 0
      save()
      return nil
    end
    from = offset_of(oldest)
    upto = math.max(upto, from - 1)
  end
  while upto < top do
    local entries = redis.call('XRANGE', stream, text_of(upto + 1), '+', 'COUNT', 16)
    if #entries == 0 then break end
    for _, entry in ipairs(entries) do
      local size = looks_at(entry)
      bytes, change, upto = bytes + size, change + size, offset_of(entry)
    end
    if events <= 0 or bytes_left <= 0 then break end
  end
  save()
  if upto < top and (events <= 0 or bytes_left <= 0) then return nil end
  return bytes
end

local function note(owner, for_ms)
  redis.call('HSET', KEYS[3], 'owner', owner, 'until', text_of(server_time() + for_ms),
    'place', place, 'sum', text_of(sum))
end

local listed = names_after()
for i = 1, #ARGV - 10 do
  local name = ARGV[10 + i]
  -- A channel that was created or removed meanwhile is in the next slice, or in none.
  if listed[i] ~= name or events <= 0 or bytes_left <= 0 then break end
  local bytes = count_channel(KEYS[2 * i + 2], KEYS[2 * i + 3], name)
  if not bytes then break end
  place, sum = name, sum + bytes
end
local following = names_after()
if #following > 0 then
  note(ARGV[3], tonumber(ARGV[4]))
else
  redis.call('HSET', KEYS[3], 'bytes', text_of(sum))
  place, sum = '', 0
  note('', tonumber(ARGV[5]))
end
return {'ok', following}
