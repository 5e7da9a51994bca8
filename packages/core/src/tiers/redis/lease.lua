#!lua flags=allow-oom
-- Takes a lease that is free, or extends one's own; with a ttl of 0 gives one's own back.
-- KEYS: lease
-- ARGV: holder, ttl
-- Replies: 1, or 0 where another holds it

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
