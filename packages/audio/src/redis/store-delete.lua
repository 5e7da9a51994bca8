#!lua flags=allow-oom
-- ARGV: prefix, key …
-- Replies: how many there were

sweep()
local count = 0
for i = 2, #ARGV do
  count = count + remove(ARGV[i])
end
return count
