-- Forget a channel's events. Its offsets go on where they are.
-- KEYS  1 meta   2 stream   3 names
-- ARGV  1 pub/sub channel   2 the name in the list
-- Returns how many events there were.
local count = redis.call('XLEN', KEYS[2])
if count > 0 then
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[3], ARGV[2])
  redis.call('PUBLISH', ARGV[1], '-')
end
return count
