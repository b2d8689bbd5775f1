-- Refuse every append and delete until the fence is lifted, or has run out.
-- KEYS  1 epoch
-- ARGV  1 the SHA-1 of a secret that lifts it   2 for how many ms   3 a fresh epoch
-- Returns  {'ok', epoch} | {'fenced', ms left}
local epoch, left = epoch_or(KEYS[1], ARGV[3])
if not epoch then return {'fenced', left} end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'fenced', epoch,
  'until', string.format('%.0f', server_time() + tonumber(ARGV[2])),
  'epoch', '', 'identity', '', 'run_id', 'none')
return {'ok', epoch}
