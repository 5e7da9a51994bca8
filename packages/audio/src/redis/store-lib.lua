-- The index of a shard of clips, by which its figures are exact: what is over its time is taken
-- out of them before anybody reads them.
-- Of every script: KEYS[1] ends, KEYS[2] sizes, KEYS[3] total; ARGV[1] prefix of the clips

local function remove(key)
  redis.call('UNLINK', ARGV[1] .. key)
  redis.call('ZREM', KEYS[1], key)
  local size = redis.call('HGET', KEYS[2], key)
  if size then
    redis.call('HDEL', KEYS[2], key)
    redis.call('DECRBY', KEYS[3], size)
    return 1
  end
  return 0
end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function sweep()
  local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now()), 'LIMIT', 0, 1000)
  for _, key in ipairs(over) do
    remove(key)
  end
end
