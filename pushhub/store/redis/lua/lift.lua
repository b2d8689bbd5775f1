-- Lift a fence, and go on in the epoch behind it: the data has the fence, so it has all that was written
-- before.
-- KEYS  1 epoch
-- ARGV  1 the secret
-- Returns  {'ok', epoch} | {'none'}: no fence, another's, or one that has run out.
local epoch = fenced(KEYS[1])
local fence = redis.call('HMGET', KEYS[1], 'fence')[1]
if not epoch or fence ~= redis.sha1hex(ARGV[1]) then return {'none'} end
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
redis.call('HSET', KEYS[1], 'epoch', epoch, 'identity', identity(), 'run_id', run_id, 'fence', '')
return {'ok', epoch}
