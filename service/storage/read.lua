#!lua flags=no-writes
-- Reads records that have not expired by this server's clock. KEYS: one record each; ARGV[1]: how many bytes of each,
-- 0 = all. Returns now_ms u8, then one byte for each key (1 = there), then for whole records their lengths (u4),
-- then the records back to back; those of a given length are filled up with zeros, so that B of them are one matrix.

local length = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local found, lengths, records = {}, {}, {}
for i, key in ipairs(KEYS) do
  local record = redis.pcall('GETRANGE', key, 0, length - 1)
  local there = record ~= '' or redis.call('EXISTS', key) == 1 -- cut to nothing: a damaged record
  if type(record) ~= 'string' then record = '' end -- another type of value: a damaged record
  if #record >= 528 then
    local updated, expires = struct.unpack('<I8I8', record, 513)
    -- What does not follow from the time to live is damage, and no reason to forget.
    local sound = expires == updated + struct.unpack('<I8', record, 265)
    if expires ~= 0 and expires <= now and sound then there, record = false, '' end
  end
  found[i] = there and '\1' or '\0'
  if length == 0 then
    lengths[i] = struct.pack('<I4', #record)
  elseif #record < length then
    record = record .. string.rep('\0', length - #record)
  end
  records[i] = record
end
return struct.pack('<I8', now) .. table.concat(found) .. table.concat(lengths) .. table.concat(records)
