#!lua flags=allow-oom
-- An instance says that it lives, by the server's clock. Who has been silent for a day goes.
-- KEYS: registry
-- ARGV: instance, message

local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', ms), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', ms - 86400000))
redis.call('PUBLISH', 'c:bus', ARGV[2])
return 'done'
