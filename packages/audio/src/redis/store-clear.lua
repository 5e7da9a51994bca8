#!lua flags=allow-oom
-- Up to 500 clips go.
-- ARGV: prefix
-- Replies: how many there were

sweep()
local count = 0
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, 499)) do
  count = count + remove(key)
end
if redis.call('ZCARD', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2], KEYS[3])
end
return count
