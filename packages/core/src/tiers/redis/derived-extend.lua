#!lua flags=allow-oom
-- A load takes longer: its lease ends later.
-- ARGV: epoch, token, life of the lease
-- Replies: held, lost, epoch

if not holds_lease(ARGV[2]) then
  return 'lost'
end
redis.call('PEXPIRE', LEASE, ARGV[3])
return 'held'
