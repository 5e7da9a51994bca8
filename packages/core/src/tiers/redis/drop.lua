#!lua flags=allow-oom
-- L3 has something newer than a write of this value: what is older goes, pending or not.
-- ARGV: epoch, version and intent of what L3 has
-- Replies: done, epoch

local version, intent = u64(ARGV[2], 1), u64(ARGV[3], 1)
local held = head()
release(version)
if held and not held.foreign and not held.log and older(held, version, intent) then
  remove()
  publish(version, intent, false)
end
return 'done'
