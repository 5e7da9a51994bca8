#!lua flags=allow-oom
-- The settled copy goes, readable or not; a pending one stays.
-- ARGV: epoch
-- Replies: done, epoch

local held = head()
if not held or not held.pending then
  remove()
end
publish(held and held.version or 0, held and held.intent or 0, is_log(held))
return 'done'
