#!lua
-- A process that commits says that it is there, and asks whether anybody listens.
-- KEYS: wanted, writers. ARGV: its name, after how many milliseconds it says so although nobody listens.
-- Returns {since when there is somebody who listens or listened lately (0 = nobody does), now}, in milliseconds.

local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = call('GET', KEYS[1])
local said = call('ZSCORE', KEYS[2], ARGV[1])
if since or not said or now - tonumber(said) >= tonumber(ARGV[2]) then
  call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
end
return { tonumber(since or 0), now }
