-- Prepended, behind lib.lua, to the scripts that look into the frames of a log.

local function header(e)
  return struct.pack(
    '>c2BBI8I8c8I8I8',
    '@c',
    1,
    e.flags,
    e.version,
    e.intent,
    e.epoch,
    e.expires,
    e.erased
  )
end

-- The description and where the frames begin; nil where the entry is cut short.
local function body(bytes)
  if #bytes < HEADER + 2 then
    return nil
  end
  local at = HEADER + 3 + (struct.unpack('>I2', bytes, HEADER + 1))
  if at > #bytes + 1 then
    return nil
  end
  return string.sub(bytes, HEADER + 1, at - 1), at
end

-- The frame at `at` without its bytes, and where the next one begins; nil where it is cut short.
local function frame(bytes, at)
  local size = #bytes
  if at + 1 > size then
    return nil
  end
  local length = struct.unpack('>I2', bytes, at)
  local tail = at + 2 + length
  if tail + 12 > size then
    return nil
  end
  local version, flags, payload = struct.unpack('>I8BI4', bytes, tail)
  local next = tail + 13 + payload
  if next > size + 1 then
    return nil
  end
  return {
    id = string.sub(bytes, at + 2, tail - 1),
    version = version,
    synced = has(flags, 1),
    first = at,
    tail = tail,
    next = next,
  },
    next
end

-- One frame as it is stored, with what L3 says of it.
local function stored_frame(bytes, f, version, synced)
  if version == f.version and synced == f.synced then
    return string.sub(bytes, f.first, f.next - 1)
  end
  return string.sub(bytes, f.first, f.tail - 1)
    .. struct.pack('>I8B', version, synced and 1 or 0)
    .. string.sub(bytes, f.tail + 9, f.next - 1)
end

-- All frames in the order of their arrival; nil where the body is corrupt.
local function frames(bytes)
  local _, at = body(bytes)
  if not at then
    return nil
  end
  local list = {}
  while at <= #bytes do
    local f
    f, at = frame(bytes, at)
    if not f then
      return nil
    end
    list[#list + 1] = f
  end
  return list
end

-- Puts a log back with the frames that are left of it, in `pieces`; `top` is the highest of
-- their versions, `synced` that L3 has all of them. Never larger than what was there, unless
-- the caller added pieces. The mark goes, and the TTL starts, where L3 lacks nothing any more.
-- A partial one goes then: L3 would be asked all the same, and may have erased some of it since.
local function keep_log(e, description, pieces, top, synced, ttl)
  e.version = math.max(top, e.erased)
  e.flags = bit.band(e.flags, bit.bnot(TOMBSTONE))
  if #pieces == 0 then
    e.flags = bit.bor(e.flags, TOMBSTONE)
  end
  local released = e.pending and synced and not has(e.flags, ERASURE)
  if has(e.flags, PARTIAL) and (released or not e.pending) then
    remove()
    return
  end
  if released then
    e.flags = bit.band(e.flags, bit.bnot(PENDING))
  end
  redis.call('SET', ENTRY, header(e) .. description .. table.concat(pieces), 'KEEPTTL')
  if released then
    redis.call('PEXPIRE', ENTRY, ttl)
    unindex()
  end
end
