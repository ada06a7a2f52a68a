"""What holds for every test of states: no request, however damaged its document, makes the service log an error."""

from tests.service.api.conftest import errors_logged

__all__ = ["errors_logged"]
