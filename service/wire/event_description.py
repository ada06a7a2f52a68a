"""What the description of the API says of event streams."""

from typing import Any

EXAMPLE = """id: mc8AAAGiHpCMc88AAAGiHpCOOQIAAAAAAAA
event: observation
data: {"session": "store-42", "model": "daily@1", "step": 812, "etag": "6f1c0a0000000000-812", "warmed_up": true, …}

id: mc8AAAGiHpCMc88AAAGiHpCPpgUAAM8AAAGiHpCQogQAAA
event: session
data: {"session": "store-43", "action": "reset", "step": 0, "etag": "d8a9070e40233439-4", "at": "2026-11-22T06:00:02Z"}

event: drift
data: {"session": "store-42", "detected": true, "since": "2026-11-20", "step": 812, "etag": "6f1c0a0000000000-812"}

event: gap
data: {"missed_from": "2026-11-22T06:00:00Z", "missed_to": "2026-11-22T06:00:03Z"}

event: close
data: {}

"""
MEANING = (
    "Server-Sent Events. `observation`: an Advance. `session`: it was created, corrected, rewound, reset, migrated, "
    "imported or deleted; `step` and `etag` are where it stands then, null where it is gone. `drift`: it was detected, "
    "or, where `since` is null, has ended; `step` is where, null where the session is gone. Of a POST or a batch each "
    "observation at which it begins or ends is told; of any other change, creation, import, reset and another model "
    "among them, what differs from before. `gap`: whatever happened "
    "between these times may be missing: read again what is shown. `close`: the service stops; come again with the "
    "last id. The same event may come twice: `etag` tells, of drift with `step`. A line `:` comes every 15 s."
)
ANSWER: dict[str, Any] = {
    "text/event-stream": {"schema": {"type": "string", "description": MEANING}, "example": EXAMPLE}
}
LAST: dict[str, Any] = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event that was read: what was missed since comes first, if it is kept still.",
    "schema": {"type": "string"},
}
