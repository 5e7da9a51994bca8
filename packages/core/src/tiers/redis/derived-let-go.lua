#!lua flags=allow-oom
-- A load came to nothing: whoever waits for it may begin another.
-- ARGV: epoch, token
-- Replies: done, epoch

if holds_lease(ARGV[2]) then
  let_go()
end
return 'done'
