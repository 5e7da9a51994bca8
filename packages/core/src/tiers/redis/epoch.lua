#!lua flags=allow-oom
-- The handshake of one shard: compares the run id that the meta was written under with the
-- server's own, and begins a new epoch where they differ. Takes the run id inside the script,
-- so that it is the one of the server that executes it.
-- KEYS: meta, pending index
-- ARGV: nothing to look; or new epoch, floor of its cut, run id that was seen
-- Replies: run id + meta ('' where it is of another incarnation or missing)

local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local meta = redis.pcall('GET', KEYS[1])
if type(meta) ~= 'string' or #meta ~= 56 then
  meta = ''
else
  local epoch, cut = struct.unpack('>I8I8', meta)
  if math.max(epoch, cut) >= 2 ^ 53 then
    meta = '' -- not ours: no number of ours is that large
  end
end
if meta ~= '' and string.sub(meta, 17) == run then
  return { run, meta }
end
if #ARGV == 0 or ARGV[3] ~= run then
  return { run, '' }
end
local cut = struct.unpack('>I8', ARGV[2])
if meta ~= '' then
  -- Above what was quoted under the epoch before, or a late backfill would fit.
  cut = math.max(cut, (struct.unpack('>I8', meta, 9)) + 1)
end
if redis.call('TYPE', KEYS[2]).ok ~= 'zset' then
  redis.call('DEL', KEYS[2])
end
meta = ARGV[1] .. struct.pack('>I8', cut) .. run
redis.call('SET', KEYS[1], meta)
return { run, meta }
