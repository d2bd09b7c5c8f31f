"""Whose workspaces messages may name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import InvalidInput
from kernel.settings import InvalidSettings, Settings
from lifecycle.runs.message_signatures import Origin, Provenance, parse_queue_pins, sign

KEY = "k" * 32
BODY = b'{"agent":"a"}'
PINS = parse_queue_pins("agent-runs=acme,contoso agent-runs/billing=finance agent-runs-priority=*")
UNSIGNED = Origin("agent-runs", "agent.run", "m-1")
SIGNED = replace(UNSIGNED, signature=sign(KEY, "m-1", "secret", BODY))


def refused(origin: Origin, workspace: str, body: bytes = BODY, key: str = KEY) -> str | None:
    """Return the code that the message is refused with, or None."""
    try:
        Provenance(key, PINS).check(origin, workspace, body)
    except InvalidInput as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("origin", "workspace", "code"),
    [
        (UNSIGNED, "acme", None),
        (replace(UNSIGNED, queue="Agent-Runs"), "contoso", None),
        (UNSIGNED, "finance", "workspace_not_allowed"),
        (replace(UNSIGNED, subject="billing"), "finance", None),
        (UNSIGNED, "other", "workspace_not_allowed"),
        (replace(UNSIGNED, queue="agent-runs-priority"), "other", None),
        (replace(UNSIGNED, queue="third"), "acme", "workspace_not_allowed"),
        (SIGNED, "secret", None),
        (SIGNED, "acme", "invalid_signature"),
        (replace(SIGNED, message_id="m-2"), "secret", "invalid_signature"),
        (replace(SIGNED, signature="v1="), "acme", "invalid_signature"),
        (replace(SIGNED, signature="\N{SNOWMAN}"), "acme", "invalid_signature"),
    ],
)
def test_a_message_names_what_its_queue_is_pinned_to_or_what_it_is_signed_for(
    origin: Origin, workspace: str, code: str | None
) -> None:
    """And nothing else."""
    assert refused(origin, workspace) == code


def test_a_signature_is_of_one_body_and_one_key() -> None:
    """Changed content, or another's key, is refused; without a key here a signature says nothing."""
    assert refused(SIGNED, "secret", BODY + b" ") == "invalid_signature"
    assert refused(SIGNED, "secret", key="x" * 32) == "invalid_signature"
    assert refused(SIGNED, "secret", key="") == "workspace_not_allowed"


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_messages_share_no_signature(one: str, other: str) -> None:
    """Whatever their ids and workspaces are, as long as these cannot hold a line break."""
    one, other = one.replace("\n", ""), other.replace("\n", "")
    made = sign(KEY, one, "w", BODY)

    assert (sign(KEY, other, "w", BODY) == made) == (one == other)


@pytest.mark.parametrize("text", ["acme", "agent-runs=", "=acme", "agent-runs=acme=x", "agent-runs/=acme"])
def test_a_rule_that_cannot_be_read_stops_the_app(text: str) -> None:
    """At the start, naming the setting."""
    with pytest.raises(InvalidSettings, match="QUEUE_WORKSPACES"):
        Settings.from_environment({"QUEUE_WORKSPACES": text, "QUEUE_SIGNING_KEY": KEY})


def test_pins_need_a_key() -> None:
    """What the app itself puts on the queue is of every workspace, and is known by its signature."""
    with pytest.raises(InvalidSettings, match="QUEUE_SIGNING_KEY"):
        Settings.from_environment({"QUEUE_WORKSPACES": "agent-runs=acme"})

    assert parse_queue_pins(" * ") is None
