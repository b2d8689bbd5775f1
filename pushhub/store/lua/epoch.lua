-- The epoch of the store, bound to the Redis process that says it.
--
-- An epoch that is only data survives a failover that lost events: offsets are used twice under the
-- same epoch, and nobody notices. So the epoch is kept beside the identity of the process and of its
-- replication history, and counts only while both are what they were:
--   run_id          changes with every start: a crash may have lost the end of the log
--   master_replid   changes with every promotion: the new master may lack what the old one told
-- A master also draws a new master_replid when its first replica comes, and when there has been none
-- for long. Nothing is lost with that: the epoch stays when this process has never been a replica.
-- This file comes first in every script.

local function identity()
  local server = redis.call('INFO', 'server')
  local replication = redis.call('INFO', 'replication')
  return string.match(server, 'run_id:(%x+)') .. string.match(replication, 'master_replid:(%x+)')
end

-- The epoch, or nil when this process has none yet.
local function epoch_of(key)
  local kept = redis.call('HMGET', key, 'epoch', 'identity')
  if kept[1] and kept[2] == identity() then return kept[1] end
  return nil
end

-- Whether this process wrote the identity `kept`, and has never had another's data since. After a
-- promotion there is a second replication id; it goes when the backlog does, but whoever made the
-- process a replica and a master again did so by a command. In a cluster it needs none.
local function is_unbroken(kept)
  local server = redis.call('INFO', 'server')
  if not string.find(server, 'run_id:' .. string.sub(kept, 1, 40), 1, true)
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

-- The epoch; `fresh`, a random text of the caller's, becomes it when there is none.
local function epoch_or(key, fresh)
  local epoch = epoch_of(key)
  if not epoch then
    local kept = redis.call('HMGET', key, 'epoch', 'identity')
    epoch = kept[1] and is_unbroken(kept[2]) and kept[1] or fresh
    redis.call('HSET', key, 'epoch', epoch, 'identity', identity())
  end
  return epoch
end

-- Milliseconds since 1970: the caller's, or the server's own.
local function milliseconds(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
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
