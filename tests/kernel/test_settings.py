"""Settings: read once, checked, and never shown."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.settings import InvalidSettings, Settings

NUMBERS = [
    name
    for name, field in ((field.metadata["alias"], field) for field in fields(Settings))
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


def test_nothing_set_is_the_defaults() -> None:
    """An empty value is as good as none, as deployment templates leave them."""
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment(dict.fromkeys(Settings.names(), "")) == Settings()


def test_a_setting_is_read_by_its_name() -> None:
    """Others in the environment are not looked at."""
    settings = Settings.from_environment({"RUN_LEASE_S": "90.5", "TRUST_WORKSPACE_HEADER": "true", "PATH": "/bin"})

    assert (settings.run_lease, settings.trust_workspace_header) == (90.5, True)


def test_names_are_unique() -> None:
    """Two settings cannot be one environment variable."""
    assert len(set(Settings.names())) == len(Settings.names()) == len(fields(Settings))


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "-inf", "1e400", "many", "0x10"])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_can_be_impossible(name: str, value: str) -> None:
    """A time that is negative, infinite or no number is refused at the start, not met in a timer."""
    with pytest.raises(InvalidSettings, match=name):
        Settings.from_environment({name: value})


@given(values=st.dictionaries(st.sampled_from(Settings.names()), st.text(max_size=20)))
def test_any_environment_is_settings_or_a_clear_error(values: dict[str, str]) -> None:
    """Nothing else is raised."""
    try:
        Settings.from_environment(values)
    except InvalidSettings as error:
        assert any(name in str(error) for name in values)  # noqa: PT017


def test_every_mistake_is_named_and_no_value_is_told() -> None:
    """All at once, so that one deployment mends them all."""
    wrong = {"AUTH_MODE": "SECRET-1", "RUN_LEASE_S": "SECRET-2", "AGENT_CACHE_SIZE": "SECRET-3"}
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment(wrong)

    assert all(name in str(caught.value) for name in wrong)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["TablesConnection", "ServiceBusConnection", "OPENAI_API_KEY"])
def test_secrets_are_not_shown(name: str) -> None:
    """Neither printed nor dumped."""
    settings = Settings.from_environment({name: "SECRET"})

    assert "SECRET" not in repr(settings)
    assert "SECRET" not in str(settings.by_alias())


def test_settings_do_not_change() -> None:
    """What was checked at the start holds."""
    changed: Any = Settings()
    with pytest.raises(FrozenInstanceError):
        changed.run_lease = 1


def test_a_lease_outlives_the_looks_that_renew_it() -> None:
    """Looked at less often than it lasts, a run would be taken over from a worker that lives."""
    with pytest.raises(InvalidSettings):
        Settings.from_environment({"RUN_LEASE_S": "10", "RUN_LOOK_EVERY_S": "10"})


@pytest.mark.parametrize("name", ["agent-runs", "Agent-Runs"])
def test_each_priority_has_a_queue_of_its_own(name: str) -> None:
    """Names of queues know no case; from one queue no function could tell what priority a message has."""
    with pytest.raises(InvalidSettings, match="RUN_QUEUE_PRIORITY"):
        Settings.from_environment({"RUN_QUEUE_PRIORITY": name})
    with pytest.raises(InvalidSettings, match="RUN_QUEUE_LOW"):
        Settings.from_environment({"RUN_QUEUE_LOW": name})
    with pytest.raises(InvalidSettings, match="REPLY_QUEUES"):
        Settings.from_environment({"REPLY_QUEUES": f"replies, {name}"})
