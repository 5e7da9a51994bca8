-- Prepended, behind lib.lua, to every script on derived values.
--
-- KEYS[2]: the notes of what was invalidated, a sorted set. A member is a tag, its score the
-- number that its last invalidation took. The member '' is the floor: no note is at or below it.
--
-- The highest score is the shard's sequence. It only grows, so the set has no TTL. Where the set
-- was lost nobody knows what was invalidated: the next one begins, as floor, with the time in
-- microseconds, which is above every number that was given out before.

local TAGS = KEYS[2]
local time = redis.call('TIME')
local MICROS = time[1] * 1000000 + time[2]

local function begin_notes()
  redis.call('DEL', TAGS)
  redis.call('ZADD', TAGS, string.format('%.0f', MICROS), '')
  return MICROS
end

-- The number as it stands. An error, where the key is of another type, is no list.
local function sequence()
  local top = redis.pcall('ZREVRANGE', TAGS, 0, 0, 'WITHSCORES')
  return tonumber(top[2]) or begin_notes()
end
