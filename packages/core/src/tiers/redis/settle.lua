#!lua flags=allow-oom
-- L3 has this write of a value.
-- ARGV: epoch, version, intent, now, ttl
-- Replies: done, epoch

local version, intent = u64(ARGV[2], 1), u64(ARGV[3], 1)
local held = head()
release(version)
if held and not held.foreign and not held.log then
  if same(held, version, intent) then
    held.flags = bit.band(held.flags, bit.bnot(PENDING + UNPROVEN))
    redis.call('SETRANGE', ENTRY, 3, string.char(held.flags))
    redis.call('PEXPIRE', ENTRY, lifetime(tonumber(ARGV[5]), held.expires, tonumber(ARGV[4])))
    unindex()
    if has(held.flags, TOMBSTONE) then
      publish(version, intent, false)
    end
    return 'done'
  end
  if older(held, version, intent) then
    remove()
  end
end
publish(version, intent, false)
return 'done'
