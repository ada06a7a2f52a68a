#!lua
-- Appends events to a stream and lets go what is too old or too much.
-- KEYS: the stream. ARGV: how many events, the events, how many are kept at least, for how many milliseconds at most.
-- Returns the new entry's id, "<milliseconds>-<number of its last event>", and the milliseconds of the one before it.
-- Events are numbered from 1 without a hole, so that whoever reads sees whether any is missing.

local call = redis.call
local key, count = KEYS[1], tonumber(ARGV[1])
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local ms, number = 0, 0
if call('EXISTS', key) == 1 then
  local info = call('XINFO', 'STREAM', key)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then ms, number = parts(info[at + 1]) end
  end
end
number = number + count
-- Where the clock was set back, ids stay in order all the same.
local id = string.format('%.0f-%.0f', math.max(ms, now), number)
call('XADD', key, id, 'n', ARGV[1], 'e', ARGV[2])
call('XTRIM', key, 'MINID', string.format('%.0f', now - tonumber(ARGV[4])))
while true do
  local first = call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  local _, last = parts(first[1])
  if number - last < tonumber(ARGV[3]) then break end
  call('XDEL', key, first[1])
end
call('PEXPIRE', key, ARGV[4])
return { id, ms }
