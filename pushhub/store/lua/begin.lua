-- Make sure that the store has an epoch.
-- KEYS  1 epoch
-- ARGV  1 a fresh epoch
-- Returns the epoch.
return epoch_or(KEYS[1], ARGV[1])
