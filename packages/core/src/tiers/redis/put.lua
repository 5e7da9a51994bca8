#!lua
-- The newest write of a value, or the deletion of a log; pending until L3 has it.
-- ARGV: epoch, entry, now, quoted cut of a create ('' where it is none)
-- Replies: held, too-low + floor, exists, moved, foreign, epoch

local entry, now, quoted = ARGV[2], ARGV[3], ARGV[4]
local write, found = parse(entry), head()
local held = standing(found)

if held and held.log == write.log then
  if write.log and held.erased == write.erased then
    return 'held'
  elseif not write.log and same(held, write.version, write.intent) then
    return 'held'
  end
end
if is_foreign(found) or (held and held.log ~= write.log) then
  return 'foreign'
end
local floor = cut
if held then
  floor = math.max(cut, held.version)
end
if write.version <= floor then
  return { 'too-low', string.format('%.0f', floor) }
end
if quoted ~= '' then
  local expired = held and held.expires > 0 and held.expires <= tonumber(now)
  if held and not has(held.flags, TOMBSTONE) and not expired then
    return 'exists'
  end
  if u64(quoted, 1) ~= cut then
    return 'moved'
  end
end
redis.call('SET', ENTRY, entry)
index(now)
publish(write.version, write.intent, write.log)
return 'held'
