-- Prepended, behind tags.lua, to every script on one derived value.
--
-- KEYS: meta, tags, entry, lease, members of its scope (where what is written has a scope)
--
-- An entry's header holds the end of its life where a record's says `expiresAt`, and until when
-- it is fresh where a log's says `erasedTo`: both in ms by this server's clock, set here. Its
-- description holds the sequence that its load began with. An entry of another epoch is as if it
-- were absent, and so is a lease: the token behind the epoch that it was taken under.

local LEASE, MEMBERS = KEYS[4], KEYS[5]
local NOW = math.floor(MICROS / 1000)

-- The sequence of an entry, and what it is invalidated by; nil where nobody can tell.
local function described(bytes)
  if #bytes < HEADER + 2 then
    return nil
  end
  local last = HEADER + 2 + (struct.unpack('>I2', bytes, HEADER + 1))
  if last == HEADER + 2 then
    return 0, {}
  end
  local fine, said = pcall(cjson.decode, string.sub(bytes, HEADER + 3, last))
  if not fine or type(said) ~= 'table' then
    return nil
  end
  local q, scope, tags = said.q or 0, said.s, {}
  if type(q) ~= 'number' or type(said.t or tags) ~= 'table' then
    return nil
  end
  for i, tag in ipairs(said.t or tags) do
    if type(tag) ~= 'string' then
      return nil
    end
    tags[i] = 't:' .. tag
  end
  if scope ~= nil then
    if type(scope) ~= 'table' or type(scope[1]) ~= 'string' or type(scope[2]) ~= 'string' then
      return nil
    end
    tags[#tags + 1] = 's:' .. scope[1] .. '/' .. scope[2]
  end
  return q, tags
end

-- Whether nothing that it is invalidated by was, behind its sequence. `top` is the shard's.
local function is_valid(q, tags, top)
  if q > top then
    return false -- of a life of the notes that was lost
  end
  local floor
  for _, tag in ipairs(tags) do
    local noted = redis.call('ZSCORE', TAGS, tag)
    if noted then
      if tonumber(noted) > q then
        return false
      end
    else
      floor = floor or tonumber(redis.call('ZSCORE', TAGS, '') or top)
      if q < floor then
        return false
      end
    end
  end
  return true
end

local function holds_lease(token)
  return redis.pcall('GET', LEASE) == EPOCH .. token
end

-- Nothing changed: copies elsewhere stay, and whoever waits for the lease may take it.
local function let_go()
  redis.call('DEL', LEASE)
  redis.call('PUBLISH', 'c:bus', 'f ' .. ID)
end

-- The scope knows its members, each by the end of its life, for as long as one of them lives:
-- a scope that never ends holds no more than is alive.
local function join(life)
  local added = redis.pcall('ZADD', MEMBERS, string.format('%.0f', NOW + life), ID)
  if type(added) == 'table' then -- of another type
    redis.call('DEL', MEMBERS)
    redis.call('ZADD', MEMBERS, string.format('%.0f', NOW + life), ID)
  end
  redis.call('ZREMRANGEBYSCORE', MEMBERS, '-inf', string.format('%.0f', NOW))
  if redis.call('PTTL', MEMBERS) < life then
    redis.call('PEXPIRE', MEMBERS, string.format('%.0f', life))
  end
end

-- Stores an entry and ends the load. What has no life only sends away what was there.
local function store(bytes, fresh, life)
  redis.call('DEL', LEASE)
  if fresh <= 0 or life <= 0 then
    redis.call('DEL', ENTRY)
    return false
  end
  local times = b64(NOW + life) .. b64(NOW + fresh)
  local timed = string.sub(bytes, 1, 28) .. times .. string.sub(bytes, HEADER + 1)
  redis.call('SET', ENTRY, timed, 'PX', string.format('%.0f', life))
  if MEMBERS then
    join(life)
  end
  return true
end
