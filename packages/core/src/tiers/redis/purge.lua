#!lua flags=allow-oom
-- Everything at or below a version is erased in L3: it goes, pending or not. What a log holds
-- above it stays.
-- ARGV: epoch, version, ttl
-- Replies: done, epoch

local version, ttl = u64(ARGV[2], 1), ARGV[3]
local bytes = redis.pcall('GET', ENTRY)
local held = parse(bytes)
release(version)

local function cut_frames(list)
  local pieces, top, synced = {}, 0, true
  for _, f in ipairs(list) do
    if f.version > version then
      pieces[#pieces + 1] = stored_frame(bytes, f, f.version, f.synced)
      top = math.max(top, f.version)
      synced = synced and f.synced
    end
  end
  if held.erased <= version then
    held.flags = bit.band(held.flags, bit.bnot(ERASURE))
    held.erased = version
  end
  keep_log(held, (body(bytes)), pieces, top, synced, ttl)
end

if not held or held.version <= version then
  remove()
elseif held.log and not held.foreign then
  local list = frames(bytes)
  if list then
    cut_frames(list)
  else
    remove() -- corrupt: nobody can say what in it is newer
  end
end
-- Whatever its intent: everything up to here is gone.
publish(version, 9007199254740991, is_log(held))
return 'done'
