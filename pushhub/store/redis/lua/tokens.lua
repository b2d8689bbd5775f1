-- Take tokens of a rate by the generic cell rate algorithm (GCRA), on the clock of Redis.
-- KEYS  1 the key's state   2 the prefix of the keys that count processes
-- ARGV  1 seconds for a token   2 burst   3 tokens that were used before this call
--       4 tokens that are wanted    5 the process
-- Returns  {granted tokens, ms until there is one more, processes in the last minutes}
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local stored = tonumber(redis.call('HMGET', KEYS[1], 'tat')[1] or 0)
-- The theoretical arrival time: the bucket is full again then.
local tat = math.max(stored, now) + tonumber(ARGV[3]) * interval
local room = math.floor((now - tat) / interval + burst + 0.000001)
local granted = math.max(0, math.min(tonumber(ARGV[4]), room))
tat = tat + granted * interval
if tat > now then
  redis.call('HSET', KEYS[1], 'tat', string.format('%.6f', tat))
  redis.call('PEXPIRE', KEYS[1], math.ceil((tat - now) * 1000))
end

-- A process counts in its minute, and in the next one.
local minute = math.floor(now / 60)
local present, former = KEYS[2] .. string.format('%.0f', minute), KEYS[2] .. string.format('%.0f', minute - 1)
local count = tonumber(redis.call('HMGET', present, 'count')[1] or 0)
if redis.call('HSET', present, 'p:' .. ARGV[5], 1) == 1 then
  count = count + 1
  redis.call('HSET', present, 'count', count)
  redis.call('PEXPIRE', present, 180000)
end
local before = tonumber(redis.call('HMGET', former, 'count')[1] or 0)
local wait = math.max(0, tat + interval - now - burst * interval)
return {granted, math.ceil(wait * 1000), math.max(count, before)}
