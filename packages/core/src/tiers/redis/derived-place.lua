#!lua
-- A derived value that somebody sets. Whoever is loading it has lost the lease.
-- ARGV: epoch, entry without a sequence, how long it is fresh, how long it lives
-- Replies: held, too-low + floor, epoch

local entry, fresh, life = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local write, there = parse(entry), head()
local floor = cut
if there and there.epoch == EPOCH and not there.foreign then
  floor = math.max(cut, there.version)
end
if write.version <= floor then
  return { 'too-low', string.format('%.0f', floor) }
end

-- Its load, if it had one, ends now: no invalidation so far concerns it.
local function numbered()
  local last = HEADER + 2 + (struct.unpack('>I2', entry, HEADER + 1))
  local said = string.sub(entry, HEADER + 3, last - 1)
  if said == '' then
    said = '{'
  else
    said = said .. ','
  end
  said = said .. string.format('"q":%.0f}', sequence())
  return string.sub(entry, 1, HEADER) .. struct.pack('>I2', #said) .. said .. string.sub(entry, last + 1)
end

if not store(numbered(), fresh, life) then
  release(write.version) -- nothing is there that would say how far it has come
end
publish(0, 0, false)
return 'held'
