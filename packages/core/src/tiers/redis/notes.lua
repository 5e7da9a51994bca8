-- Prepended, behind tags.lua, to every script that invalidates.

-- Takes the next number for a tag, and tells everybody.
local function note(tag)
  redis.call('ZADD', TAGS, string.format('%.0f', sequence() + 1), tag)
  redis.call('PUBLISH', 'c:bus', 't ' .. tag)
end

-- Forgets the oldest notes beyond `most` and remembers, as floor, how far. The floor is the
-- lowest member, so it is taken out with them and put back higher.
local function forget_beyond(most)
  local excess = redis.call('ZCARD', TAGS) - 1 - most
  if excess > 0 then
    local popped = redis.call('ZPOPMIN', TAGS, excess + 1)
    redis.call('ZADD', TAGS, popped[#popped], '')
  end
end
