#!lua
-- A copy of what L3 has: never over anything pending, never where the cut rose since the miss, and
-- never over a copy of another build's, which that would replace in turn.
-- ARGV: epoch, settled entry, now, ttl, quoted cut
-- Replies: held, refused, epoch
--
-- A pending log that lacks items is united with L3's: where both know an item, L3's version
-- stands and the item is synced. It becomes whole and stays pending.

local entry, now, ttl = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if u64(ARGV[5], 1) ~= cut then
  return 'refused'
end
local write = parse(entry)
local bytes = write.log and redis.pcall('GET', ENTRY)
local found = write.log and parse(bytes) or (not write.log and head() or nil)
local held = standing(found)
if (found and found.foreign) or (held and held.log ~= write.log) then
  return 'refused'
end

local function copy()
  redis.call('SET', ENTRY, entry, 'PX', lifetime(ttl, write.expires, now))
  return 'held'
end

if not write.log then
  if held and (held.pending or not older(held, write.version, write.intent)) then
    return 'refused'
  end
  return copy()
end
if write.version == 0 then -- L3 knows neither an item nor a deletion
  return 'refused'
end
if held and held.epoch == EPOCH and not has(held.flags, PARTIAL) then
  return 'refused'
end
if not (held and held.pending) then
  return copy()
end

local mine, theirs = frames(bytes), frames(entry)
if not mine then
  return 'refused'
end
-- Dead ones go first: an id may have been said again since.
local erased = math.max(held.erased, write.erased)
local version_of, known, pieces, top = {}, {}, {}, 0
local function keep(version, piece)
  pieces[#pieces + 1] = piece
  top = math.max(top, version)
end
for _, f in ipairs(theirs) do
  if f.version > erased then
    version_of[f.id] = f.version
  end
end
for _, f in ipairs(mine) do
  if f.version > erased then
    local version = version_of[f.id]
    known[f.id] = true
    keep(version or f.version, stored_frame(bytes, f, version or f.version, f.synced or version ~= nil))
  end
end
for _, f in ipairs(theirs) do
  if f.version > erased and not known[f.id] then
    keep(f.version, stored_frame(entry, f, f.version, true))
  end
end
if write.erased >= held.erased then
  held.flags = bit.band(held.flags, bit.bnot(ERASURE))
end
held.flags = bit.band(held.flags, bit.bnot(PARTIAL + UNPROVEN))
held.erased = erased
held.epoch = EPOCH
local description = body(bytes)
if #description == 2 then
  description = body(entry)
end
-- Not "synced": whoever flushes it settles it.
keep_log(held, description, pieces, top, false, 0)
return 'held'
