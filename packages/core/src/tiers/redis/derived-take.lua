#!lua flags=allow-oom
-- What a reader of a derived value finds, and the lease to load it where it asks for one.
-- ARGV: epoch, mode, token, life of the lease, the header of an entry that the caller found that
--       it can't decode ('' where it found none)
-- Replies: status, entry (nil where there is none), 1 where one can't be read, sequence, cut,
--          what is left of another's lease, of the entry's freshness, of its life; or epoch
--
-- What is no answer any more goes. What can't be read stays until it is replaced: another build
-- may be able to read it.

local mode, token, lease, spoilt = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local top = sequence()

local function look()
  local bytes = redis.pcall('GET', ENTRY)
  if not bytes then
    return nil, nil, 0
  end
  local found = parse(bytes)
  if not found or string.sub(bytes, 1, HEADER) == spoilt then
    return nil, nil, 1
  end
  if found.epoch ~= EPOCH or found.expires <= NOW then
    redis.call('DEL', ENTRY)
    return nil, nil, 0
  end
  local q, tags
  if not found.foreign then
    q, tags = described(bytes)
  end
  if not q then
    return nil, nil, 1
  end
  if not is_valid(q, tags, top) then
    redis.call('DEL', ENTRY)
    return nil, nil, 0
  end
  return bytes, found, 0
end

local function left_to_others()
  local held = redis.pcall('GET', LEASE)
  if type(held) ~= 'string' or string.sub(held, 1, 8) ~= EPOCH or held == EPOCH .. token then
    return 0
  end
  return math.max(0, redis.call('PTTL', LEASE)) -- one without an end would hold for ever
end

local bytes, held, unreadable = look()
local fresh = held and math.max(0, held.erased - NOW) or 0
local life = held and held.expires - NOW or 0
local left = left_to_others()
local status
if mode == 'look' or (mode == 'miss' and fresh > 0) or (mode ~= 'force' and left > 0) then
  if fresh > 0 then
    status = 'fresh'
  else
    status = mode == 'look' and 'none' or 'taken'
  end
else
  redis.call('SET', LEASE, EPOCH .. token, 'PX', lease)
  status, left = 'leased', 0
end
local numbers = { string.format('%.0f', top), string.format('%.0f', cut) }
return { status, bytes or false, unreadable, numbers[1], numbers[2], left, fresh, life }
