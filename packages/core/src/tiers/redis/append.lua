#!lua
-- Items onto a log; pending until L3 has them.
-- ARGV: epoch, entry without frames (as it would be where there is none), now,
--       quoted cut of a create ('' where it is none), ttl, frame...
-- Replies: held + versions, too-low + floor, exists, moved, foreign, epoch
--
-- An id that is there already keeps its version. To look for one costs a plain search for the
-- id with its length before it; only a hit is verified by walking the frames.
--
-- A create without items leaves a copy that says "nothing yet" and that L3 lacks nothing of: the
-- log is whole from its first item, although that comes later.

local fresh, now, quoted, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local bytes = redis.pcall('GET', ENTRY) -- an error where it is of another type
local found = parse(bytes)
local log = standing(found)
if is_foreign(found) or (log and not log.log) then
  return 'foreign'
end
-- A corrupt copy of what L3 has is not carried on. Looking costs one walk per flush, and then
-- nothing is ever appended behind a corrupt frame.
if log and not log.pending and not frames(bytes) then
  log = nil
end
if quoted ~= '' then
  if log and not has(log.flags, TOMBSTONE) then
    return 'exists'
  end
  if u64(quoted, 1) ~= cut then
    return 'moved'
  end
end

local known -- id -> version; filled at the first hit
local function known_version(prefixed)
  if not known then
    -- Without the upper byte of the length: frames are full of zeros, and each would be tried.
    if not string.find(bytes, string.sub(prefixed, 2), HEADER + 3, true) then
      return nil
    end
    known = {}
    for _, f in ipairs(frames(bytes) or {}) do
      known[f.id] = f.version
    end
  end
  return known[string.sub(prefixed, 3)]
end

local state = log or parse(fresh)
local floor = math.max(cut, state.erased)
local top = state.version
local added, mine, reply = {}, {}, { 'held' }
for i = 6, #ARGV do
  local item = ARGV[i]
  local tail = 3 + (struct.unpack('>I2', item, 1))
  local prefixed = string.sub(item, 1, tail - 1)
  local version = log and known_version(prefixed)
  if not version then
    version = u64(item, tail)
    if version <= floor then
      return { 'too-low', string.format('%.0f', floor) }
    end
    if mine[prefixed] then
      version = mine[prefixed]
    else
      if version <= top then
        version = top + 1
        item = prefixed .. b64(version) .. string.sub(item, tail + 8)
      end
      top = version
      mine[prefixed] = version
      added[#added + 1] = item
    end
  end
  reply[#reply + 1] = string.format('%.0f', version)
end
if #added == 0 then
  if quoted ~= '' and not log then
    state.flags = bit.bor(bit.band(state.flags, bit.bnot(PENDING)), TOMBSTONE)
    redis.call('SET', ENTRY, header(state) .. string.sub(fresh, HEADER + 1), 'PX', ttl)
  end
  return reply
end

state.version = top
if not log then
  redis.call('SET', ENTRY, header(state) .. string.sub(fresh, HEADER + 1) .. table.concat(added))
else
  if state.epoch ~= EPOCH then
    state.flags = bit.bor(state.flags, PARTIAL)
    state.epoch = EPOCH
  end
  state.flags = bit.bor(bit.band(state.flags, bit.bnot(TOMBSTONE)), PENDING)
  redis.call('SETRANGE', ENTRY, 0, header(state))
  redis.call('APPEND', ENTRY, table.concat(added))
  if not log.pending then
    redis.call('PERSIST', ENTRY)
  end
end
if not (log and log.pending) then
  index(now)
end
publish(top, 0, true)
return reply
