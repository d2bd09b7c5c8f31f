"""Identifiers: accepted forms, order and stability."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import ids
from kernel.errors import InvalidInput

moments = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
idempotency_keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)


def test_new_ids_are_uuids_of_version_7_in_the_order_of_their_making() -> None:
    """Each is greater than the one before, as text too."""
    made = [ids.new_id() for _ in range(1000)]

    assert made == sorted(set(made))
    assert {uuid.UUID(text).version for text in made} == {7}


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (ids.agent_name, "a"), (ids.agent_name, "support_bot-2"), (ids.agent_name, "a" * 63),
        (ids.workspace_name, "default"), (ids.workspace_name, "team-7"), (ids.workspace_name, "w" * 63),
        (ids.session_id, "Chat_1.a-b"), (ids.session_id, "0"), (ids.session_id, "s" * 64),
        (ids.session_id, "0190c5a4-7d6e-7b3a-8f4e-2b1c9d8e7f60"), (ids.user_id, "ann@example.com"),
        (ids.user_id, "aad:1+2"), (ids.user_id, "u" * 128),
    ],
)  # fmt: skip
def test_valid_names_are_returned_as_they_are(check: Callable[[str], str], text: str) -> None:
    """Nothing is folded or trimmed."""
    assert check(text) == text


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "_a", "a b", "a/b", "a\\b", "a#b", "a?b", "a\n", "é", "a'b", "a" * 129]
)
@pytest.mark.parametrize("check", [ids.agent_name, ids.workspace_name])
def test_names_that_are_no_safe_keys_are_refused(check: Callable[[str], str], text: str) -> None:
    """The error says what is allowed and does not repeat what was sent."""
    with pytest.raises(InvalidInput) as caught:
        check(text)

    assert caught.value.code.startswith("invalid_")
    assert len(text) < 3 or text not in caught.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "auth0|64f0c1", "ada_contoso.com#EXT#@fabrikam.com", "o'brien@x.org", "zoë@x.org", "zoe\u0308@x.org", "a b",
        "19:meeting_MjdhNjM4YzUtYzExZi00OTFkLTkzZTAtNTVlNmZmMDhkNGU2@thread.tacv2", "https://idp.example/u?id=7", "-a",
        "C:\\x", "=", "中" * 128,
    ],
)  # fmt: skip
@pytest.mark.parametrize("check", [ids.session_id, ids.user_id])
def test_ids_of_identity_providers_are_taken_exactly(check: Callable[[str], str], text: str) -> None:
    """Nothing is folded, trimmed or normalised."""
    assert check(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "x" * 129, "a!b", "a%2Fb", "~a", " a", "a ", ".", "..", "a\n", "a\x00", "a\u202eb", "a\u200bb", "\ud800"],
)
@pytest.mark.parametrize("check", [ids.session_id, ids.user_id])
def test_ids_that_would_be_mixed_up_are_refused(check: Callable[[str], str], text: str) -> None:
    """What parts keys, what hosts and URLs change, and what nobody sees."""
    with pytest.raises(InvalidInput):
        check(text)


@pytest.mark.parametrize("text", ["A", "a.b", "a" * 64])
def test_an_agent_name_is_lower_case_and_short(text: str) -> None:
    """Providers take no more."""
    with pytest.raises(InvalidInput):
        ids.agent_name(text)


@given(key=idempotency_keys, workspace=st.sampled_from(["default", "team"]))
def test_a_key_is_always_the_same_run(key: str, workspace: str) -> None:
    """The run id is a canonical UUID, and as a key stands for itself."""
    run = ids.run_id(workspace, key)

    assert run == ids.run_id(workspace, key) == ids.run_id(workspace, run) == ids.parse_run_id(run)


def test_the_run_of_a_key_never_changes_between_releases() -> None:
    """A key that was used before an upgrade must meet its run after it."""
    assert ids.run_id("default", "order-17") == "81b943c2-907e-5a71-a8d0-6acfdef7383a"


@given(keys=st.lists(idempotency_keys.filter(lambda key: len(key) < 32), min_size=2, max_size=5, unique=True))
def test_other_keys_and_other_workspaces_are_other_runs(keys: list[str]) -> None:
    """A caller's own key never meets another workspace's."""
    runs = {ids.run_id(workspace, key) for workspace in ("default", "team") for key in keys}

    assert len(runs) == 2 * len(keys)


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\n", "\x7f"])
def test_keys_that_are_no_header_values_are_refused(key: str) -> None:
    """1-255 printable ASCII characters."""
    with pytest.raises(InvalidInput) as caught:
        ids.run_id("default", key)

    assert caught.value.code == "invalid_idempotency_key"


def test_a_run_id_is_a_uuid_in_canonical_form() -> None:
    """In either letter case; other spellings are not ids."""
    run = "0190c5a4-7d6e-7b3a-8f4e-2b1c9d8e7f60"

    assert ids.parse_run_id(run.upper()) == run
    for other in ("42", run.replace("-", ""), f"{{{run}}}"):
        with pytest.raises(InvalidInput):
            ids.parse_run_id(other)


@given(first=moments, second=moments)
def test_newest_first_sorts_later_moments_before_earlier_ones(first: datetime, second: datetime) -> None:
    """As text, to the millisecond."""
    earlier, later = sorted((first, second))
    apart = int(earlier.timestamp() * 1000) < int(later.timestamp() * 1000)

    assert (ids.newest_first(later, "a") < ids.newest_first(earlier, "a")) == apart


@given(moment=moments, names=st.lists(st.text("abc-", max_size=3), min_size=2, max_size=2))
def test_newest_first_of_one_moment_is_ordered_by_id(moment: datetime, names: list[str]) -> None:
    """The id makes the key unique."""
    rows = [ids.newest_first(moment, name) for name in names]

    assert sorted(rows) == [ids.newest_first(moment, name) for name in sorted(names)]


def test_a_key_of_32_hex_digits_is_not_taken_for_a_uuid() -> None:
    """It is somebody's digest or number, and means another run in another workspace."""
    digest = "0190c5a47d6e7b3a8f4e2b1c9d8e7f60"

    assert ids.run_id("one", digest) != ids.run_id("two", digest)


@pytest.mark.parametrize("text", ["", "x", "0123456789ab", "0123456789ab!", "0123456789ab!a!b", "0123456789aB!a"])
def test_a_forged_cursor_is_refused(text: str) -> None:
    """Only what newest_first makes continues a list."""
    with pytest.raises(InvalidInput):
        ids.newest_first_key(text)
