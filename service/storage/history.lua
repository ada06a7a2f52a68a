#!lua flags=no-writes
-- Reads one record and those chunks of its history that hold certain steps, all at one moment.
-- KEYS: the record, its history; ARGV: the first step, the last step (0 = to the newest).
-- Returns now_ms u8, the record ('' if there is none that has not expired), the state before its first observation,
-- and the chunks in order; nil stands for what is not there.

local MOST_ARGUMENTS = 4000 -- Lua passes no more than some 8000 at once

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.pcall('GET', KEYS[1])
if not record then
  record = ''
elseif type(record) ~= 'string' or record == '' then
  record = '?' -- another type of value, or one cut to nothing: a damaged record
end
local reply = { struct.pack('<I8', now), record, false }
if #record < 528 then return reply end
local updated, expires = struct.unpack('<I8I8', record, 513)
-- What does not follow from the time to live is damage, and no reason to forget.
local sound = expires == updated + struct.unpack('<I8', record, 265)
if expires ~= 0 and expires <= now and sound then return { reply[1], '', false } end

local step, ring = struct.unpack('<I8', record, 129), struct.unpack('<I4', record, 257)
if ring == 0 then return reply end
local first, last = tonumber(ARGV[1]), tonumber(ARGV[2])
if last == 0 or last > step then last = step end
local fields = { 'base' }
for number = math.floor((first - 1) / ring), math.min(math.floor((last - 1) / ring), math.floor(step / ring) - 1) do
  fields[#fields + 1] = string.format('%d', number)
end
for done = 0, #fields - 1, MOST_ARGUMENTS do
  local values = redis.pcall('HMGET', KEYS[2], unpack(fields, done + 1, math.min(done + MOST_ARGUMENTS, #fields)))
  if values.err then return reply end -- another type of value: nothing of a history
  for i, value in ipairs(values) do reply[done + i + 2] = value end
end
return reply
