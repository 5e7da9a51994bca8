#!lua
-- The result of a load. Voided where the load lost its lease, or where what it read may be older
-- than an invalidation of one of its tags, which are known only now.
-- ARGV: epoch, entry, token, how long it is fresh, how long it lives
-- Replies: held, voided, epoch

local entry, token, fresh, life = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if not holds_lease(token) then
  return 'voided'
end
local q, tags = described(entry)
if not is_valid(q, tags, sequence()) then
  let_go()
  return 'voided'
end
local write = parse(entry)
if store(entry, fresh, life) then
  publish(write.version, write.intent, false)
else
  publish(0, 0, false)
end
return 'held'
