"""What the load generator sends: scripts for `wrk`, which would be the bottleneck were it written in Python.

Each script is for one thread, and ends with a line that `load.py` reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""Of the observations that are sent; those that a session is created with are of the days before."""

COMMON = r"""
local threads, asked = {}, false
sent = $first

function setup(thread) threads[#threads + 1] = thread end

-- wrk asks once for a request that it looks at and does not send.
function request()
  if not asked then asked = true return made(sent) end
  sent = sent + 1
  return made(sent - 1)
end

function post(path, headers, body)
  return string.format("POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" ..
    "%sContent-Length: %d\r\n\r\n%s", path, headers, #body, body)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status,
    threads[1]:get("sent")))
end
"""

OBSERVATIONS = r"""
local sessions, turn, day = $sessions, -1, ""

-- One observation of each session in turn: those with even numbers by date, the others under a key of their own.
function made(n)
  local k = (n * 7919) % sessions
  local value = 100 + 10 * math.sin(n)
  local path = string.format("/v1/sessions/bench-%d/observations", k)
  if k % 2 == 1 then
    return post(path, string.format("Idempotency-Key: key-%d\r\n", n), string.format('{"value": %.3f}', value))
  end
  if math.floor(n / sessions) ~= turn then
    turn = math.floor(n / sessions)
    day = os.date("!%Y-%m-%d", $epoch + 86400 * turn)
  end
  return post(path, "", string.format('{"timestamp": "%s", "value": %.3f}', day, value))
end
"""

HISTORIES = r"""
local prepared = {}
for b = 0, 63 do
  local values = {}
  for i = 1, $length do values[i] = string.format("%.3f", 100 + 10 * math.sin(31 * b + i)) end
  prepared[b] = '{"values": [' .. table.concat(values, ", ") .. ']}'
end

function made(n) return post("/v1/forecast", "", prepared[n % 64]) end
"""


@dataclass(slots=True)
class Observations:
    """The next observation of each of `sessions` sessions in turn, over all loads of one service.

    What was under way when a load ended may have been applied or not. It is not sent again: where it was not, its
    session takes the next one for one after a missing day, and what is measured is single, new observations.
    """

    sessions: int
    sent: int = 0

    def script(self) -> str:
        """For the next load."""
        return Template(COMMON + OBSERVATIONS).substitute(
            first=self.sent, sessions=self.sessions, epoch=int(FIRST_DAY.timestamp())
        )


@dataclass(slots=True)
class Histories:
    """Series of `length` values, each whole in one request."""

    length: int
    sent: int = 0

    def script(self) -> str:
        """For the next load."""
        return Template(COMMON + HISTORIES).substitute(first=0, length=self.length)


Workload = Observations | Histories
