"""No batch may make the service log an error either."""

from tests.service.api.conftest import errors_logged

__all__ = ["errors_logged"]
