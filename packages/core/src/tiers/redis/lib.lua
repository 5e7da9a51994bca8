-- Prepended to every script that works on one entry. Every function here costs each execution a
-- closure: what only scripts on logs need is in frames.lua.
--
-- KEYS: meta, pending index, entry; all of one shard, so of one hash tag. Scripts on derived
-- values, which are never pending, have other keys in place of the index (tags.lua), and some
-- work on no entry.
-- ARGV[1]: the epoch that the caller believes in, 8 bytes.
--
-- Numbers travel as 8 bytes, big-endian, and are compared as numbers (`<` on strings follows
-- the server's locale). Where one becomes text it is formatted with '%.0f': tostring, `..` and
-- cjson round what is above 10^14. Everything stays below 2^53, so a double is exact.
--
-- An entry is *live* where it is pending or was written under the present epoch. Only a live
-- entry counts; any other is as if it were absent.

local META, INDEX, ENTRY = KEYS[1], KEYS[2], KEYS[3]
local ID = ENTRY and string.sub(ENTRY, 10) -- behind 'c:{00}:e:'
local HEADER = 44
local PENDING, TOMBSTONE, LOG, PARTIAL, UNPROVEN, ERASURE = 1, 2, 4, 8, 16, 32

local function u64(bytes, at)
  return (struct.unpack('>I8', bytes, at))
end

local function b64(number)
  return struct.pack('>I8', number)
end

local function has(flags, flag)
  return bit.band(flags, flag) ~= 0
end

-- Missing is false, and a key of another type an error: both are no meta.
local EPOCH = ARGV[1]
local meta = redis.pcall('GET', META)
if type(meta) ~= 'string' or #meta ~= 56 or string.sub(meta, 1, 8) ~= EPOCH then
  return 'epoch'
end
local cut = u64(meta, 9)

local function parse(bytes)
  if type(bytes) ~= 'string' or #bytes < HEADER then
    return nil
  end
  local magic, format, flags, version, intent, epoch, expires, erased =
    struct.unpack('>c2BBI8I8c8I8I8', bytes)
  if magic ~= '@c' then
    return nil
  end
  local pending = flags % 2 == 1
  return {
    flags = flags,
    version = version,
    intent = intent,
    epoch = epoch,
    expires = expires,
    erased = erased,
    pending = pending,
    log = has(flags, LOG),
    live = pending or epoch == EPOCH,
    foreign = format ~= 1,
  }
end

-- The header alone: a script that needs no more does not copy the value.
local function head()
  return parse(redis.pcall('GETRANGE', ENTRY, 0, HEADER - 1))
end

local function older(e, version, intent)
  return e.version < version or (e.version == version and e.intent < intent)
end

local function same(e, version, intent)
  return e.version == version and e.intent == intent
end

-- Another build's, and L3 lacks it: nothing that this build writes may replace it.
local function is_foreign(e)
  return e ~= nil and e.foreign and e.pending
end

-- 'k <version> v<intent> <address>' of a value, 'k <version> l <address>' of a log.
local function publish(version, intent, log)
  local text
  if log then
    text = string.format('k %.0f l ', version)
  else
    text = string.format('k %.0f v%.0f ', version, intent)
  end
  redis.call('PUBLISH', 'c:bus', text .. ID)
end

-- The entry that counts for what is written: live, and of the format that this build writes.
local function standing(e)
  if e and e.live and not e.foreign then
    return e
  end
  return nil
end

local function is_log(e)
  return e ~= nil and e.log and not e.foreign
end

-- Nothing at or below `version` is accepted any more, and whoever quotes the old cut is refused.
local function release(version)
  cut = math.max(cut + 1, version)
  redis.call('SETRANGE', META, 8, b64(cut))
end

local function index(now)
  redis.call('ZADD', INDEX, 'NX', now, ID)
end

local function unindex()
  redis.call('ZREM', INDEX, ID)
end

local function remove()
  redis.call('DEL', ENTRY)
  unindex()
end

-- A copy never outlives the record: `expires` is 0 or a time in ms.
local function lifetime(ttl, expires, now)
  if expires > 0 and expires - now < ttl then
    ttl = expires - now
  end
  return string.format('%.0f', math.max(1, ttl))
end
