"""Post today's value, get tomorrow's forecast: the client of a hiddenstate service, and its command."""

from importlib.metadata import version

from hiddenstate.asynchronous import AsyncClient
from hiddenstate.client import Client
from hiddenstate.errors import HiddenstateError, ProblemError, ServiceUnreachable

__version__ = version("hiddenstate")
__all__ = ["AsyncClient", "Client", "HiddenstateError", "ProblemError", "ServiceUnreachable", "__version__"]
