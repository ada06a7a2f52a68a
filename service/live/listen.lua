#!lua
-- Somebody listens: from now on events are logged.
-- KEYS: wanted, writers. ARGV: for how many milliseconds after this they are logged, after how many a process that has
-- not said that it is there has ended, after how many more nobody asks about it any more.
-- Returns since when events are logged, now, how many processes have not been there since, and then each process that has
-- ended with the time at which it was last there.

local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl, lapse, forget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local since = tonumber(call('GET', KEYS[1]) or now)
-- Not at each call: with an append-only file each write is one more that the disk must take.
if call('PTTL', KEYS[1]) < ttl - ttl / 60 then call('SET', KEYS[1], string.format('%.0f', since), 'PX', ttl) end
if call('ZCOUNT', KEYS[2], '-inf', now - forget) > 0 then call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - forget) end
local found = { since, now, call('ZCOUNT', KEYS[2], '-inf', string.format('%.0f', since)) }
local writers = call('ZRANGEBYSCORE', KEYS[2], '-inf', now - lapse, 'WITHSCORES')
for at = 1, #writers, 2 do
  -- What it committed before anybody listened is of no interest, and after that it has had to be there at times.
  local there = math.max(tonumber(writers[at + 1]), since)
  if there <= now - lapse then
    found[#found + 1] = writers[at]
    found[#found + 1] = there
  end
end
return found
