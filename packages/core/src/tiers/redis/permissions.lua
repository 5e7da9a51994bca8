#!lua flags=no-writes
-- What the user of this connection may not do, of all that the cache asks Redis for; so that
-- a missing permission is found out when a cache starts, and not by its first write.
-- Reply: the commands that are denied, each with the key or channel that it was tried on

local KEY, CHANNEL = 'c:{00}:m', 'c:bus'
local needed = {
  -- asked for by the cache itself
  { 'PING' },
  { 'INFO' },
  { 'DBSIZE' },
  { 'TIME' },
  { 'MGET', KEY },
  { 'EVALSHA', '', '1', KEY },
  { 'SCRIPT', 'EXISTS', '' },
  { 'SCRIPT', 'LOAD', '' },
  { 'SUBSCRIBE', CHANNEL },
  { 'PUBLISH', CHANNEL, '' },
  { 'ZCARD', KEY },
  { 'ZRANGE', KEY, '0', '0' },
  { 'ZRANGEBYSCORE', KEY, '0', '0' },
  { 'ZREVRANGE', KEY, '0', '0' },
  { 'ZREM', KEY, '' },
  -- asked for by its scripts
  { 'GET', KEY },
  { 'SET', KEY, '' },
  { 'GETRANGE', KEY, '0', '0' },
  { 'SETRANGE', KEY, '0', '' },
  { 'APPEND', KEY, '' },
  { 'DEL', KEY },
  { 'TYPE', KEY },
  { 'PERSIST', KEY },
  { 'PEXPIRE', KEY, '1' },
  { 'PTTL', KEY },
  { 'ZADD', KEY, '0', '' },
  { 'ZSCORE', KEY, '' },
  { 'ZPOPMIN', KEY },
  { 'ZREMRANGEBYSCORE', KEY, '0', '0' },
}

local denied = {}
for _, command in ipairs(needed) do
  if not redis.acl_check_cmd(unpack(command)) then
    denied[#denied + 1] = string.lower(table.concat(command, ' '))
  end
end
return denied
