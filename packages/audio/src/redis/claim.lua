#!lua
-- Takes the lease of a clip that is free, and begins a broadcast.
-- KEYS: lease, broadcast of this token
-- ARGV: token, ttl, force ('1' takes it from whoever has it)
-- Replies: the token that holds the lease

local holder = redis.call('GET', KEYS[1])
if holder and ARGV[3] ~= '1' then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('XADD', KEYS[2], '1-0', 'k', 'begin', 'v', '')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return ARGV[1]
