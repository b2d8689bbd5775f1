-- Make sure that the store has an epoch, and the format that the caller knows.
-- KEYS  1 epoch
-- ARGV  1 a fresh epoch   2 the format
-- Returns  {'ok', epoch} | {'fenced', epoch, ms left} | {'format', that of the data}
local format = redis.call('HMGET', KEYS[1], 'format')[1]
if format and format ~= ARGV[2] then return {'format', format} end
local epoch, left = epoch_or(KEYS[1], ARGV[1])
-- Data without a format is of the first, which had no number yet.
if not format then redis.call('HSET', KEYS[1], 'format', ARGV[2]) end
if not epoch then return {'fenced', (fenced(KEYS[1])), left} end
return {'ok', epoch}
