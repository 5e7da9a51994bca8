#!lua flags=allow-oom
-- ARGV: prefix
-- Replies: {clips, bytes}

sweep()
return {redis.call('ZCARD', KEYS[1]), tonumber(redis.call('GET', KEYS[3]) or '0')}
