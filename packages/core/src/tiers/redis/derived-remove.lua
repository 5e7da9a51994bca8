#!lua flags=allow-oom
-- A derived value goes, and with it every load of it that is under way.
-- ARGV: epoch, version
-- Replies: done, epoch

release(u64(ARGV[2], 1))
redis.call('DEL', ENTRY, LEASE)
publish(0, 0, false)
return 'done'
