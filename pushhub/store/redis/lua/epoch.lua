-- The epoch of the store, bound to the mastership of the Redis process that says it.
--
-- An epoch that is only data survives a failover that lost events: offsets are used twice under the
-- same epoch, and nobody notices. So the epoch is kept beside the master_replid, and counts only while
-- that is what it was, on a master. It is drawn at random
--   by every process that starts    a crash may have lost the end of the log
--   with every promotion            the new master may lack what the old one told
--   and when a master's first replica comes, or there has been none for long. Nothing is lost with
--   that: the epoch stays when it is still the same process (run_id) and it has never been a replica.
-- (The run_id alone would not do: A, then B, then A again is one process. To ask for it each time
-- costs twelve microseconds more, and a process that starts as a master has a master_replid of its own.)
-- A fence keeps the epoch over a planned restart (docs/deploy-redis.md has the proof). It takes the
-- epoch out of its place: until the fence is lifted there is none to append under, also for an older
-- pushhub, which draws a new one. A field that is empty counts as missing: users need no HDEL.
-- This file comes first in every script.

-- The present master_replid; nil on a replica, whose data is another's.
local function identity()
  local told = redis.call('INFO', 'replication')
  if not string.find(told, 'role:master', 1, true) then return nil end
  local _, before = string.find(told, 'master_replid:', 1, true)
  return string.sub(told, before + 1, before + 40)
end

-- The epoch, or nil when this mastership has none yet.
local function epoch_of(key)
  local kept = redis.call('HMGET', key, 'epoch', 'identity')
  if kept[1] and kept[1] ~= '' and kept[2] == identity() then return kept[1] end
  return nil
end

-- Whether the process with the run_id `kept` is this one, and has never had another's data. After a
-- promotion there is a second replication id; it goes when the backlog does, but whoever made the
-- process a replica and a master again did so by a command. In a cluster it needs none.
local function is_unbroken(kept)
  local server = redis.call('INFO', 'server')
  if not string.find(server, 'run_id:' .. kept, 1, true)
    -- Redis says redis_mode, Valkey server_mode.
    or not string.find(server, '_mode:standalone', 1, true)
    or not string.find(redis.call('INFO', 'replication'), 'master_replid2:0+%s') then
    return false
  end
  local ran = redis.call('INFO', 'commandstats')
  for _, command in ipairs({'replicaof', 'slaveof', 'failover'}) do
    if string.find(ran, 'cmdstat_' .. command .. ':', 1, true) then return false end
  end
  return true
end

-- The server's own clock, in milliseconds since 1970.
local function server_time()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The epoch behind a fence that stands, and for how many milliseconds more; nil without one, and on a
-- replica.
local function fenced(key)
  local fence = redis.call('HMGET', key, 'fence', 'fenced', 'until', 'epoch')
  if (fence[1] or '') == '' or fence[4] ~= '' then return nil end
  local left = tonumber(fence[3]) - server_time()
  if left <= 0 or not identity() then return nil end
  return fence[2], left
end

-- The epoch; `fresh`, a random text of the caller's, becomes it when there is none. A replica refuses.
-- nil and the milliseconds left while a fence stands. A fence that has run out leaves no epoch.
local function epoch_or(key, fresh)
  local epoch = epoch_of(key)
  if not epoch then
    local behind, left = fenced(key)
    if behind then return nil, left end
    local kept = redis.call('HMGET', key, 'epoch', 'run_id')
    epoch = kept[1] and kept[1] ~= '' and is_unbroken(kept[2]) and kept[1] or fresh
    local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
    redis.call('HSET', key, 'epoch', epoch, 'identity', identity() or '', 'run_id', run_id)
    if kept[1] == '' then redis.call('HSET', key, 'fence', '') end
  end
  return epoch
end

-- The high-water mark of the channels that were removed because nothing was published to them. No
-- offset of theirs is above it, and a channel without metadata begins above it: so no cursor from
-- before fits an event from after. 0 as long as none was removed.
local function floor_of(key)
  return tonumber(redis.call('HMGET', key, 'floor')[1] or 0)
end

-- Milliseconds since 1970: the caller's, or the server's own.
local function milliseconds(given)
  if given ~= '' then return tonumber(given) end
  return server_time()
end

-- A field of a stream entry.
local function field(entry, name)
  local pairs_ = entry[2]
  for i = 1, #pairs_, 2 do
    if pairs_[i] == name then return pairs_[i + 1] end
  end
end

local function offset_of(entry)
  return tonumber(string.match(entry[1], '^%d+'))
end
