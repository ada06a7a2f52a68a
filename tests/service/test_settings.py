from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_a_service_without_settings_is_local_and_brings_its_own_store() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.store_url is None
    assert settings.default_model == "daily"
    assert settings.body_limit_bytes == 8 * 1024 * 1024
    assert settings.session_ttl_s == 400 * 86_400


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDENSTATE_STORE_URL", "redis://store:6379/0")
    monkeypatch.setenv("HIDDENSTATE_PORT", "9000")
    monkeypatch.setenv("HIDDENSTATE_DATA_DIR", "/tmp/records")
    monkeypatch.setenv("HIDDENSTATE_URL", "http://localhost:9000")  # the client's
    settings = Settings()
    assert (settings.store_url, settings.port, settings.data_dir) == (
        "redis://store:6379/0",
        9000,
        Path("/tmp/records"),
    )


def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDENSTATE_STORE_URL", "")
    assert Settings().store_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "99999"), ("DEADLINE_S", "0"), ("DEADLINE_S", "inf"), ("NAMESPACE", "a/b"), ("HISTORY", "20000")],
)
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HIDDENSTATE_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_settings_do_not_change_once_read() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.port = 9000


def test_every_setting_says_what_it_does() -> None:
    assert all(field.description for field in Settings.model_fields.values())
