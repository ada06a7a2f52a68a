"""The running service of the command's tests."""

from tests.hiddenstate.conftest import service as service
