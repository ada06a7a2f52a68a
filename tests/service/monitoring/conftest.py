"""No scrape and no log line may make the service log an error."""

from tests.service.api.conftest import errors_logged

__all__ = ["errors_logged"]
