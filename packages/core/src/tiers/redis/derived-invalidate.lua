#!lua flags=allow-oom
-- Derived values with one of these tags, whose load began before now, are no answer any more.
-- KEYS: meta, tags
-- ARGV: epoch, how many notes are kept, tag...
-- Replies: done, epoch

for i = 3, #ARGV do
  note(ARGV[i])
end
forget_beyond(tonumber(ARGV[2]))
return 'done'
