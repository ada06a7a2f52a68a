"""The query of a request: each parameter is a known one, and is given once unless it may be given many times."""

from collections import Counter
from collections.abc import Collection
from urllib.parse import parse_qsl

from service.wire.problems import NAME_LIMIT, Fault, InvalidRequest


def parameters(query: bytes, known: Collection[str], lists: Collection[str] = ()) -> dict[str, str]:
    """The parameters by name; of one that is given many times, the last.

    Args:
        lists: those of the known ones that may be given many times.

    Raises:
        InvalidRequest: one is unknown, or is given twice.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    faults = []
    for name, count in Counter(name for name, _ in pairs).items():
        if name not in known:
            faults.append(Fault("unknown parameter", parameter=name[:NAME_LIMIT]))
        elif count > 1 and name not in lists:
            faults.append(Fault("given twice", parameter=name))
    if faults:
        raise InvalidRequest(faults)
    return dict(pairs)
