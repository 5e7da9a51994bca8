#!lua flags=allow-oom
-- A clip was heard. It may be gone: then nothing is made of it.
-- ARGV: prefix, key, how often, last time, the new end of its time, or 0

local clip = ARGV[1] .. ARGV[2]
if redis.call('EXISTS', clip) == 0 then
  remove(ARGV[2])
  return 0
end
redis.call('HINCRBY', clip, 'c', ARGV[3])
redis.call('HSET', clip, 'a', ARGV[4])
local before = tonumber(redis.call('HGET', clip, 'e') or '0')
local after = tonumber(ARGV[5])
if after > before then
  redis.call('HSET', clip, 'e', ARGV[5])
  local left = redis.call('PTTL', clip) + after - before
  redis.call('PEXPIRE', clip, string.format('%.0f', left))
  redis.call('ZADD', KEYS[1], string.format('%.0f', now() + left), ARGV[2])
end
return 1
