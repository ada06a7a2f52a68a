"""What holds for every test of the doors: no request, however bad, makes the service log an error."""

from tests.service.api.conftest import errors_logged

__all__ = ["errors_logged"]
