-- Forget a channel's events. Its offsets go on where they are.
-- KEYS  1 meta   2 stream   3 names   4 epoch   5 the namespace
-- ARGV  1 pub/sub channel   2 the name in the list   3 a fresh epoch
--       4 '1' to keep the time of the last publish, where idle channels are removed
-- Returns  {'ok', how many events there were} | {'fenced', ms left}
local count = redis.call('XLEN', KEYS[2])
if count > 0 then
  local epoch, left = epoch_or(KEYS[4], ARGV[3])
  if not epoch then return {'fenced', left} end
  local last = ARGV[4] == '1' and redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  redis.call('DEL', KEYS[2])
  if last then redis.call('HSET', KEYS[1], 'used', field(last, 't')) end
  redis.call('ZREM', KEYS[3], ARGV[2])
  forget_bytes(KEYS[5], KEYS[1], ARGV[2])
  redis.call('PUBLISH', ARGV[1], '-')
end
return {'ok', count}
