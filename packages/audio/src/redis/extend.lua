#!lua
-- A holder is alive. The broadcast goes on though the lease was voided.
-- KEYS: lease, broadcast of this token, its followers
-- ARGV: token, ttl
-- Replies: {1 where the lease is held, 1 where somebody follows}

redis.call('PEXPIRE', KEYS[2], ARGV[2])
local held = 0
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  held = 1
end
return {held, redis.call('EXISTS', KEYS[3])}
