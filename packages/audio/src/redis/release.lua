#!lua flags=allow-oom
-- A holder is done: its broadcast stays for those who listen, the lease goes.
-- KEYS: lease, broadcast of this token
-- ARGV: token, how long the broadcast stays
-- Replies: 1 where the lease was held

redis.call('PEXPIRE', KEYS[2], ARGV[2])
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
