#!lua flags=allow-oom
-- Everything of a scope goes. The note keeps out what is being loaded, and what the set of
-- members, which can be evicted, did not know.
-- KEYS: meta, tags, members of the scope
-- ARGV: epoch, how many notes are kept, the scope's tag
-- Replies: how many entries were removed, or epoch

local members = KEYS[3]
note(ARGV[3])
forget_beyond(tonumber(ARGV[2]))
local ids = redis.pcall('ZRANGE', members, 0, -1) -- an error has no first element
local shard = string.sub(TAGS, 1, -2) -- 'c:{00}:'
local removed = 0
for _, id in ipairs(ids) do
  removed = removed + redis.call('DEL', shard .. 'd:' .. id)
  redis.call('DEL', shard .. 'g:' .. id)
end
redis.call('DEL', members)
return removed
