#!lua flags=allow-oom
-- L3 has these items, under these versions, and knows of this deletion.
-- ARGV: epoch, erasedTo (0 where none was applied), '1' where L3 holds others besides, ttl,
--       id and version of each item...
-- Replies: done, epoch
--
-- It never adds a frame. Where the entry lacks an item that L3 named, a pending one is partial
-- from now on, and a settled one goes.

local erased, others, ttl = u64(ARGV[2], 1), ARGV[3] == '1', ARGV[4]
local named, highest = {}, erased
for i = 5, #ARGV, 2 do
  local version = u64(ARGV[i + 1], 1)
  named[ARGV[i]] = version
  highest = math.max(highest, version)
end
release(highest)

local function settle()
  local bytes = redis.pcall('GET', ENTRY)
  local log = parse(bytes)
  if not log or log.foreign or not log.log then
    return
  end
  local list = frames(bytes)
  if not list then -- corrupt
    if not log.pending then
      remove()
    end
    return
  end
  local floor = math.max(log.erased, erased)
  local pieces, top, synced = {}, 0, true
  for _, f in ipairs(list) do
    -- An id may have been said again since the log was deleted: neither is a dead frame what L3
    -- has, nor is a living one what it named. Version 0 says that an item was dropped.
    if f.version > floor then
      local version = named[f.id]
      named[f.id] = nil
      if version and version > 0 and version <= floor then
        version = nil
      end
      local known = f.synced or version ~= nil
      version = version or f.version
      if version > 0 then
        pieces[#pieces + 1] = stored_frame(bytes, f, version, known)
        top = math.max(top, version)
        synced = synced and known
      end
    end
  end
  local lacks = false
  for _, version in pairs(named) do
    lacks = lacks or version > floor
  end
  if lacks and not log.pending then
    remove()
    return
  end
  if lacks or (others and has(log.flags, UNPROVEN)) then
    log.flags = bit.bor(log.flags, PARTIAL)
  end
  if erased >= log.erased then
    log.flags = bit.band(log.flags, bit.bnot(ERASURE))
  end
  log.flags = bit.band(log.flags, bit.bnot(UNPROVEN))
  log.erased = floor
  keep_log(log, (body(bytes)), pieces, top, synced, ttl)
end

settle()
publish(highest, 0, true)
return 'done'
