#!lua
-- Commits changes to sessions. KEYS: one record each, then the histories of those that keep one in full (history.py);
-- ARGV: one change each, as store.py packs it:
--   kind u1 | flags u1 (1 = expects a position, 2 = must write) | token 16 | digest 8 | expected position 16 |
--   ttl_ms u8 | writes u1, then for each write: offset u4 | length u4 | bytes,
--   then for each field of the history to put: length u1 | name | length u4 | bytes (none: it is taken away).
-- Returns one byte for each key. layout.py says where things stand in a record; Lua counts from 1.

local APPLIED, REPLAYED, KEY_REUSED, CONFLICT, REGRESSED, MISSING, EXPIRED = 1, 2, 3, 4, 5, 6, 7
local WRITE, REPLACE, DELETE, CONFIRM = 1, 2, 3, 4
local HEAD_BYTES, STAMP_AT = 640, 625
local TOKENS_AT, TOKEN_STRIDE, TOKENS_END = 297, 24, 488
local HISTORY = ':history'
local NO_TOKEN = string.rep('\0', 16)
-- The record decides when it has expired; the server frees its memory a minute later, so that clocks need not agree.
local GRACE_MS = 60000

local sub, byte, unpack_number = string.sub, string.byte, struct.unpack
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The digest stored with a token, or nil.
local function digest_of(head, token)
  if token == NO_TOKEN then return nil end
  local at = string.find(head, token, TOKENS_AT, true)
  while at and at < TOKENS_END do
    if (at - TOKENS_AT) % TOKEN_STRIDE == 0 then return sub(head, at + 16, at + 23) end
    at = string.find(head, token, at + 1, true)
  end
  return nil
end

-- When a session expires; 0 = never. What does not follow from the time to live is damage, and no reason to forget.
local function expiry(head)
  if #head < HEAD_BYTES then return 0 end
  local updated, expires = unpack_number('<I8I8', head, STAMP_AT)
  return expires == updated + unpack_number('<I8', head, 265) and expires or 0
end

local function compare(head, expected)
  if #head < HEAD_BYTES then return CONFLICT end
  local position = sub(head, 113, 124) .. sub(head, 621, 624)
  if position == expected then return APPLIED end
  local same_life = sub(position, 1, 8) == sub(expected, 1, 8)
  if same_life and unpack_number('<I4', position, 9) <= unpack_number('<I4', expected, 9) then return REGRESSED end
  return CONFLICT
end

-- Whether a session still holds what it held at a position that it has left: later commits of its life build on it.
local function builds_on(head, position)
  return #head == HEAD_BYTES and sub(head, 113, 120) == sub(position, 1, 8)
    and unpack_number('<I4', head, 121) > unpack_number('<I4', position, 9)
end

-- What stands in the way of a change, or APPLIED.
local function verdict(head, change, kind, expects)
  local expired = expiry(head) ~= 0 and expiry(head) <= now
  if #head == 0 or expired then
    if kind == DELETE or not expects then return APPLIED end
    return expired and EXPIRED or MISSING
  end
  -- A re-sent command must find its own earlier success before it compares: perhaps only the reply was lost.
  local known = digest_of(head, sub(change, 3, 18))
  if known then return known == sub(change, 19, 26) and REPLAYED or KEY_REUSED end
  if not expects then return kind == DELETE and APPLIED or CONFLICT end
  -- Incarnation and revision together: a count alone matches again after a reset, and does not see a correction. The
  -- checksum besides: a store that lost commits may have reached the same revision again, by other ones. It covers the
  -- model's fingerprint, too.
  local position = sub(change, 27, 42)
  if kind == CONFIRM and builds_on(head, position) then return APPLIED end
  return compare(head, position)
end

local function stamped(data, expires)
  return sub(data, 1, STAMP_AT - 1) .. struct.pack('<I8I8', now, expires) .. sub(data, HEAD_BYTES + 1)
end

local function is_full(head)
  return #head >= HEAD_BYTES and math.floor(byte(head, 7) / 2) % 2 == 1
end

-- A ring that a slot filled is moved before the next one overwrites it.
local function move_filled(key, head, offset, slot)
  local covariates, ring, state = unpack_number('<I2', head, 251), unpack_number('<I4I4', head, 257)
  local start = HEAD_BYTES + state + 8 * (272 + 8 * covariates)
  local stop = start + ring * (144 + 8 * covariates)
  if offset < start or offset + #slot ~= stop then return end
  local number = unpack_number('<I8', slot, 9) / ring - 1
  redis.call('HSET', key .. HISTORY, string.format('%d', number), redis.call('GETRANGE', key, start, stop - 1))
end

local function put_fields(key, change, at)
  while at <= #change do
    local name = sub(change, at + 1, at + byte(change, at))
    at = at + 1 + #name
    local length = unpack_number('<I4', change, at)
    if length == 0 then
      redis.call('HDEL', key .. HISTORY, name)
    else
      redis.call('HSET', key .. HISTORY, name, sub(change, at + 4, at + 3 + length))
    end
    at = at + 4 + length
  end
end

local function expire(key, expires, had_expiry)
  if expires ~= 0 then
    redis.call('PEXPIREAT', key, expires + GRACE_MS)
  elseif had_expiry then
    redis.call('PERSIST', key)
  end
end

local function write(key, change, kind, head)
  local ttl, at = unpack_number('<I8', change, 43), 52
  local expires = ttl ~= 0 and now + ttl or 0
  local new = sub(change, at + 8, at + 7 + HEAD_BYTES)
  local full, same_life = is_full(new), sub(head, 113, 120) == sub(new, 113, 120)
  if kind == REPLACE and (is_full(head) or full) and not (is_full(head) and full and same_life) then
    redis.call('DEL', key .. HISTORY)
  end
  for _ = 1, byte(change, 51) do
    local offset, length = unpack_number('<I4I4', change, at)
    local data = sub(change, at + 8, at + 7 + length)
    if offset == 0 then data = stamped(data, expires) end
    if kind == REPLACE then redis.call('SET', key, data) else redis.call('SETRANGE', key, offset, data) end
    if full and kind == WRITE then move_filled(key, new, offset, data) end
    at = at + 8 + length
  end
  put_fields(key, change, at)
  expire(key, expires, expiry(head) ~= 0)
  if full then expire(key .. HISTORY, expires, expiry(head) ~= 0) end
end

-- What was written before is written again, because WAIT answers at once on a connection that has written nothing.
local function touch(key, head)
  if #head > 0 then
    redis.call('SETRANGE', key, 0, sub(head, 1, 4))
  else
    redis.call('SET', key, '')
    redis.call('DEL', key)
  end
end

local outcomes = {}
for i, change in ipairs(ARGV) do
  local key = KEYS[i]
  local kind, flags = byte(change, 1), byte(change, 2)
  local head = redis.pcall('GETRANGE', key, 0, HEAD_BYTES - 1)
  -- Another type of value, or one cut to nothing: whatever was expected, it is not this.
  if type(head) ~= 'string' or (head == '' and redis.call('EXISTS', key) == 1) then head = '?' end
  local outcome = verdict(head, change, kind, flags % 2 == 1)
  if kind == CONFIRM or outcome == REPLAYED or (kind == DELETE and head == '') then
    if flags >= 2 and (outcome == APPLIED or outcome == REPLAYED) then touch(key, head) end
  elseif outcome == APPLIED and kind == DELETE then
    if is_full(head) then redis.call('DEL', key .. HISTORY) end
    redis.call('DEL', key)
  elseif outcome == APPLIED then
    write(key, change, kind, head)
  end
  outcomes[i] = string.char(outcome)
end
return table.concat(outcomes)
