#!lua
-- Commits changes to sessions. KEYS: one record each, then the histories of those that keep one in full (history.py).
-- ARGV: of each change, as store.py packs it:
--   one that says what to do: kind u1 | flags u1 (1 = expects a position, 2 = must write) | token 16 | digest 8 |
--     expected position 16 | ttl_ms u8 | writes u1 | fields u4, then for each write its offset u4;
--   the bytes of each write; then name and bytes of each field of the history to put (no bytes: it is taken away).
-- Returns now_ms u8, then one byte for each key. layout.py says where things stand in a record; Lua counts from 1.
--
-- Every string that Lua makes costs by its length, so what is written is passed on as it came, in arguments of its own.

local APPLIED, REPLAYED, KEY_REUSED, CONFLICT, REGRESSED, MISSING, EXPIRED = 1, 2, 3, 4, 5, 6, 7
local WRITE, REPLACE, DELETE, CONFIRM = 1, 2, 3, 4
local HEAD_BYTES, STAMP_AT = 528, 513
local TOKENS_AT, TOKEN_STRIDE, TOKENS_END = 297, 24, 488
local OFFSETS_AT = 56
local HISTORY = ':history'
local NO_TOKEN = string.rep('\0', 16)
-- The record decides when it has expired; the server frees its memory one or two of these later, so that clocks need not
-- agree, and so that it need not be told at each commit.
local GRACE_MS = 60000

local sub, byte, find, floor, call = string.sub, string.byte, string.find, math.floor, redis.call
local unpack_number, pack_number = struct.unpack, struct.pack
local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)

-- The digest stored with a token, or nil.
local function digest_of(head, token)
  if token == NO_TOKEN then return nil end
  local at = find(head, token, TOKENS_AT, true)
  while at and at < TOKENS_END do
    if (at - TOKENS_AT) % TOKEN_STRIDE == 0 then return sub(head, at + 16, at + 23) end
    at = find(head, token, at + 1, true)
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
  local position = sub(head, 113, 124) .. sub(head, 509, 512)
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

-- What stands in the way of a change, or APPLIED. `expected`: nil = there must be no session.
local function verdict(head, expires, kind, token, digest, expected)
  local expired = expires ~= 0 and expires <= now
  if #head == 0 or expired then
    if kind == DELETE or not expected then return APPLIED end
    return expired and EXPIRED or MISSING
  end
  -- A re-sent command must find its own earlier success before it compares: perhaps only the reply was lost.
  local known = digest_of(head, token)
  if known then return known == digest and REPLAYED or KEY_REUSED end
  if not expected then return kind == DELETE and APPLIED or CONFLICT end
  -- Incarnation and revision together: a count alone matches again after a reset, and does not see a correction. The
  -- checksum besides: a store that lost commits may have reached the same revision again, by other ones. It covers the
  -- model's fingerprint, too.
  if kind == CONFIRM and builds_on(head, expected) then return APPLIED end
  return compare(head, expected)
end

local function is_full(head)
  return #head >= HEAD_BYTES and floor(byte(head, 7) / 2) % 2 == 1
end

-- A ring that a slot filled is moved before the next one overwrites it.
local function move_filled(key, head, offset, slot)
  local covariates, ring, state = unpack_number('<I2', head, 251), unpack_number('<I4I4', head, 257)
  local start = HEAD_BYTES + state + 8 * (256 + 8 * covariates)
  local stop = start + ring * (136 + 8 * covariates)
  if offset < start or offset + #slot ~= stop then return end
  local number = unpack_number('<I8', slot, 9) / ring - 1
  call('HSET', key .. HISTORY, string.format('%d', number), call('GETRANGE', key, start, stop - 1))
end

local function put_fields(key, first, count)
  for at = first, first + 2 * count - 2, 2 do
    if ARGV[at + 1] == '' then
      call('HDEL', key .. HISTORY, ARGV[at])
    else
      call('HSET', key .. HISTORY, ARGV[at], ARGV[at + 1])
    end
  end
end

-- When the server may free the memory; the same for all that expires within one GRACE_MS.
local function freed(expires)
  return (floor(expires / GRACE_MS) + 2) * GRACE_MS
end

local stamps = {} -- by time to live: the times that a commit leaves in a record

local function write(key, kind, head, had, change, ttl, first, writes, fields)
  local expires = ttl ~= 0 and now + ttl or 0
  local new = ARGV[first]
  local full = is_full(new)
  if kind == REPLACE then
    local same_life = sub(head, 113, 120) == sub(new, 113, 120)
    if (is_full(head) or full) and not (is_full(head) and full and same_life) then call('DEL', key .. HISTORY) end
    call('SET', key, new)
  else
    for i = 0, writes - 1 do
      local offset = unpack_number('<I4', change, OFFSETS_AT + 4 * i)
      call('SETRANGE', key, offset, ARGV[first + i])
      if full then move_filled(key, new, offset, ARGV[first + i]) end
    end
  end
  local stamp = stamps[ttl]
  if not stamp then
    stamp = pack_number('<I8I8', now, expires)
    stamps[ttl] = stamp
  end
  call('SETRANGE', key, STAMP_AT - 1, stamp)
  put_fields(key, first + writes, fields)
  if expires ~= 0 then
    local at = freed(expires)
    if kind == REPLACE or had == 0 or freed(had) ~= at then call('PEXPIREAT', key, at) end
    if full then call('PEXPIREAT', key .. HISTORY, at) end
  elseif had ~= 0 then
    call('PERSIST', key)
    if full then call('PERSIST', key .. HISTORY) end
  end
end

-- What was written before is written again, because WAIT answers at once on a connection that has written nothing.
local function touch(key, head)
  if #head > 0 then
    call('SETRANGE', key, 0, sub(head, 1, 4))
  else
    call('SET', key, '')
    call('DEL', key)
  end
end

local outcomes = {}
local at, row = 1, 1
while at <= #ARGV do
  local key, change = KEYS[row], ARGV[at]
  local kind, flags, token, digest, expected, ttl, writes, fields =
    unpack_number('<BBc16c8c16I8BI4', change)
  local head = redis.pcall('GETRANGE', key, 0, HEAD_BYTES - 1)
  -- Another type of value, or one cut to nothing: whatever was expected, it is not this.
  if type(head) ~= 'string' or (head == '' and call('EXISTS', key) == 1) then head = '?' end
  local had = expiry(head)
  local outcome = verdict(head, had, kind, token, digest, flags % 2 == 1 and expected or nil)
  if kind == CONFIRM or outcome == REPLAYED or (kind == DELETE and head == '') then
    if flags >= 2 and (outcome == APPLIED or outcome == REPLAYED) then touch(key, head) end
  elseif outcome == APPLIED and kind == DELETE then
    if is_full(head) then call('DEL', key .. HISTORY) end
    call('DEL', key)
  elseif outcome == APPLIED then
    write(key, kind, head, had, change, ttl, at + 1, writes, fields)
  end
  outcomes[row] = string.char(outcome)
  at, row = at + 1 + writes + 2 * fields, row + 1
end
return pack_number('<I8', now) .. table.concat(outcomes)
