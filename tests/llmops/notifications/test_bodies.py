"""The bodies of webhooks, and their signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from kernel.errors import InvalidInput
from llmops.notifications.channels import ChannelRequest, changed
from llmops.notifications.notification import matches
from llmops.notifications.outbox import Outbox
from llmops.notifications.receiver_formats import body_of
from llmops.notifications.signing import check_secret, signed
from tests.lifecycle.doubles import NOW, ManualClock
from tests.llmops.notifications.support import SECRET, note


def body(kind: Any, **fields: Any) -> Any:
    return json.loads(body_of(note(**fields), kind))


def test_slack_gets_blocks_and_a_fallback() -> None:
    """Header, text, fields, context; nobody is pinged by what a text holds."""
    sent = body("slack", title="A & B", text="<!channel> 1 > 0", facts={"Agent": "<b>"})

    assert sent["text"].endswith("A &amp; B")
    assert [block["type"] for block in sent["blocks"]] == ["header", "section", "section", "context"]
    assert sent["blocks"][0]["text"]["type"] == "plain_text"
    assert sent["blocks"][1]["text"] == {"type": "mrkdwn", "text": "&lt;!channel&gt; 1 &gt; 0"}
    assert sent["blocks"][2]["fields"] == [{"type": "mrkdwn", "text": "*Agent*\n&lt;b&gt;"}]


@given(title=st.text(max_size=300), text=st.text(alphabet="&<>ab", max_size=4000), facts=st.integers(0, 14))
def test_slack_s_limits_hold(title: str, text: str, facts: int) -> None:
    """Slack refuses a whole message for one part that is too long; a cut never falls inside an entity."""
    sent = body("slack", title=title, text=text, facts={f"f{n}": text for n in range(facts)})
    blocks = {block["type"] + str("fields" in block): block for block in sent["blocks"]}
    fields = blocks.get("sectionTrue", {"fields": []})["fields"]
    texts = [field["text"] for field in fields] + ([blocks["sectionFalse"]["text"]["text"]] if text else [])

    assert len(sent["blocks"][0]["text"]["text"]) <= 150
    assert len(fields) <= 10
    assert all(len(each) <= 2000 for each in [field["text"] for field in fields])
    assert all(len(each) <= 3000 for each in texts)
    for each in texts:
        plain = each.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
        assert not set("&<>") & set(plain)


def test_teams_gets_an_adaptive_card() -> None:
    """A message with one attachment of the card's content type, and no links but ours."""
    sent = body("teams", text="see [here](https://evil.example)", severity="critical")
    card = sent["attachments"][0]["content"]

    assert sent["type"] == "message"
    assert sent["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert [part["type"] for part in card["body"]] == ["TextBlock", "TextBlock", "FactSet", "TextBlock"]
    assert card["body"][0]["color"] == "Attention"
    assert card["body"][1]["text"] == "see (here)(https://evil.example)"
    assert card["body"][2]["facts"] == [{"title": "Agent", "value": "bot"}]


def test_json_is_the_whole_notification() -> None:
    """Type, timestamp and data, as Standard Webhooks has it."""
    assert body("json") == {
        "type": "budget.blocked",
        "timestamp": "2026-11-21T08:30:00.000Z",
        "data": {
            "id": "n-1",
            "workspace": "default",
            "severity": "warning",
            "title": "Budget exceeded",
            "text": "It is.",
            "facts": {"Agent": "bot"},
        },
    }


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own test suite (standard-webhooks/webhooks, libraries/python)."""
    headers = signed(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        NOW.fromtimestamp(1614265330, NOW.tzinfo),
        b'{"test": 2432232314}',
    )

    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_verify_it_by_hand() -> None:
    """As docs/llmops.md says it."""
    payload = body_of(note(), "json")
    headers = signed(SECRET, "msg_1", NOW, payload)
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + payload
    mac = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), content, hashlib.sha256).digest()

    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert "webhook-signature" not in signed("", "msg_1", NOW, payload)


@pytest.mark.parametrize("secret", ["plain", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + "QUFB" * 40])
def test_a_secret_that_is_none(secret: str) -> None:
    """Too short, too long, or no base64."""
    with pytest.raises(InvalidInput) as error:
        check_secret(secret)
    assert error.value.code == "invalid_webhook_secret"
    assert error.value.detail == "A secret is 'whsec_' followed by 24 to 64 random bytes in base64."


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ("*", "a.b", True),
        ("budget.*", "budget.blocked", True),
        ("budget.*", "budgets.exceeded", False),
        ("budget.*", "budget", False),
        ("budget.blocked", "budget.blocked", True),
        ("budget.blocked", "budget.blocked.twice", False),
    ],
)
def test_patterns(pattern: str, event: str, expected: bool) -> None:
    """A star stands for all below."""
    assert matches(pattern, event) is expected


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (ChannelRequest("u", format="xml"), "invalid_format"),
        (ChannelRequest("u", events=()), "invalid_events"),
        (ChannelRequest("u", events=("bud*",)), "invalid_events"),
        (ChannelRequest("u", events=("a.b",) * 51), "invalid_events"),
        (ChannelRequest("u", secret="x"), "invalid_webhook_secret"),
    ],
)
def test_wishes_that_are_not_valid(wanted: ChannelRequest, code: str) -> None:
    """Each with its code."""
    with pytest.raises(InvalidInput) as error:
        changed(None, "ops", wanted, NOW)
    assert error.value.code == code


def test_a_secret_stays_until_it_is_taken_away() -> None:
    """It cannot be read back, so a change that leaves it out keeps it."""
    first = changed(None, "ops", ChannelRequest("u", secret=SECRET), NOW)
    kept = changed(first, "ops", ChannelRequest("u2"), NOW)

    assert (kept.secret, kept.revision) == (SECRET, 2)
    assert changed(kept, "ops", ChannelRequest("u2"), NOW) is kept
    assert changed(kept, "ops", ChannelRequest("u2", secret=""), NOW).secret == ""


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        ("alerts.*", "alert.*"),
        ("alert.fire", "alert.fired"),
        ("budget.exceeded", "budget.blocked"),
        ("run.stage", "alert.fired, alert.resolved, budget.threshold"),
        ("report", "report.ready"),
    ],
)
def test_a_pattern_that_nothing_ever_matches_is_refused(pattern: str, instead: str) -> None:
    """Events that only the stream has included; what is spelt nearly so is said."""
    with pytest.raises(InvalidInput) as refused:
        changed(None, "ops", ChannelRequest("u", events=("alert.*", pattern)), NOW)

    assert (refused.value.code, list(refused.value.fields)) == ("unknown_event", ["/events/1"])
    assert instead in refused.value.fields["/events/1"]


async def test_no_notification_is_put_that_no_channel_could_ask_for(tables: MemoryTables) -> None:
    """Whoever adds one adds it to the catalogue."""
    with pytest.raises(ValueError, match="catalogue"):
        await Outbox(tables, ManualClock()).put(note(event="budget.exceeded"))
