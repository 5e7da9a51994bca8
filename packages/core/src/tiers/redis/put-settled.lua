#!lua
-- A write that went through L3, as a settled copy. L3 compared and set it, so that an older
-- pending one is overwritten there and may go.
-- ARGV: epoch, settled entry, now, ttl
-- Replies: done, epoch
--
-- Where the cut is past it already, something at least as new was released meanwhile: then an
-- older copy, pending or not, only goes.

local entry, now, ttl = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local write, found = parse(entry), head()
local held = standing(found)
local past = write.version <= cut
release(write.version)
if is_foreign(found) or (held and held.log) then
  return 'done'
end
if held and not older(held, write.version, write.intent) then
  return 'done'
end
if not past then
  redis.call('SET', ENTRY, entry, 'PX', lifetime(ttl, write.expires, now))
  unindex()
elseif held then
  remove()
end
publish(write.version, write.intent, false)
return 'done'
