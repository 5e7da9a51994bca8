#!lua flags=allow-oom
-- A write went around L2. An older settled copy goes; a log goes, or is partial from now on.
-- ARGV: epoch, version, intent, kind ('v' or 'l')
-- Replies: done, pending (an older write is there that L3 lacks), epoch

local version, intent, kind = u64(ARGV[2], 1), u64(ARGV[3], 1), ARGV[4]
local held = head()
local reply = 'done'
release(version)
if kind == 'l' then
  if held and held.log and not held.foreign then
    if held.pending then
      redis.call('SETRANGE', ENTRY, 3, string.char(bit.bor(held.flags, PARTIAL)))
    else
      remove()
    end
  end
elseif not held then
  remove() -- what has no header is garbage
elseif (held.foreign or not held.log) and older(held, version, intent) then
  if held.pending then
    reply = 'pending'
  else
    remove()
  end
end
publish(version, intent, kind == 'l')
return reply
