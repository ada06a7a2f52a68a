"""How an object of the API becomes a value with typed attributes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, get_args, get_origin, get_type_hints

from hiddenstate.errors import HiddenstateError, ProblemError, problem_of


class NotAnAnswer(HiddenstateError):
    """A JSON document that is not what the API promises: another server, or a service of another version."""


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """An object of the API.

    Attributes:
        members: it, as it came, with those members that this version of the client does not know.
    """

    members: Mapping[str, Any] = field(compare=False)

    @classmethod
    def of(cls, members: Any) -> Self:  # noqa: ANN401 - a JSON document; this is where it is checked
        """Raises NotAnAnswer."""
        try:
            return cls(members, *[read(members[name]) for name, read in _readers(cls)])
        except (KeyError, TypeError, AttributeError) as error:
            raise NotAnAnswer(f"no {cls.__name__}: {error!r}") from error


Reader = Callable[[Any], Any]


_known: dict[type[Answer], list[tuple[str, Reader]]] = {}


def _readers(shape: type[Answer]) -> list[tuple[str, Reader]]:
    """The members of a shape after the first, and how each is read; found out once."""
    if shape not in _known:
        hints = get_type_hints(shape)
        _known[shape] = [(each.name, _reader(hints[each.name])) for each in fields(shape)[1:]]
    return _known[shape]


def _reader(hint: Any) -> Reader:  # noqa: ANN401 - any annotation
    if isinstance(hint, type) and issubclass(hint, Answer):
        return hint.of
    if hint is ProblemError:
        return lambda members: problem_of(members["status"], members)
    arguments = get_args(hint)
    if get_origin(hint) is list:
        read = _reader(arguments[0])
        return lambda members: [read(one) for one in members]
    if type(None) in arguments:
        [first, *_] = (_reader(argument) for argument in arguments if argument is not type(None))
        return lambda member: None if member is None else first(member)
    return lambda member: member


def shown(number: float | None) -> str:
    """A number in a line that is printed."""
    return "missing" if number is None else f"{number:.6g}"
