#!lua
-- Stores a clip whole, in place of what is there.
-- ARGV: prefix, key, milliseconds that it is kept, stored size, fields and values …

sweep()
remove(ARGV[2])
local clip = ARGV[1] .. ARGV[2]
redis.call('HSET', clip, unpack(ARGV, 5))
redis.call('PEXPIRE', clip, ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%.0f', now() + tonumber(ARGV[3])), ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
redis.call('INCRBY', KEYS[3], ARGV[4])
return 1
