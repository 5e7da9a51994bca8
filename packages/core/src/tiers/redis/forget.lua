#!lua flags=allow-oom
-- The settled copy goes, readable or not; a pending one stays.
-- ARGV: epoch
-- Replies: done, epoch

local held = head()
if not held or not held.pending then
  remove()
end
-- Version 0: copies elsewhere go whatever their version.
publish(0, 0, is_log(held))
return 'done'
