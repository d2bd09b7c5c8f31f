"""What is wrong with an A2A message: said in the protocol's own codes, and never in Python's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lifecycle.specs.spec import AgentSpec
from tests.triggers.conftest import Edge, request
from triggers.http import a2a

PARSE_ERROR = -32700
INVALID_PARAMS = -32602
HALF = r"\ud800"
SAID = '"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "Hi"}]'

SAID_NOW = '{"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Hi"}]}'


@pytest.fixture
async def edge() -> Edge:
    """Return the functions of A2A over services in memory, with an agent to ask."""
    edge = Edge(a2a)
    await edge.services.agents.catalog.declare("default", "a", AgentSpec(model="gpt-4o"))
    return edge


async def answered(edge: Edge, body: str | bytes, version: str = "1.0") -> tuple[int, dict[str, Any]]:
    """Send a message and return the status and the answer."""
    sent = request(
        body if isinstance(body, bytes) else body.encode(), route={"name": "a"}, headers={"A2A-Version": version}
    )
    response: Any = await edge("a2a", sent)
    if hasattr(response, "get_body"):
        return response.status_code, json.loads(response.get_body())
    return response.status_code, json.loads(b"".join([piece async for piece in response.body]))


def message(method: str, params: str, ident: str = "7") -> str:
    """Return a message whose parameters and id are JSON texts."""
    return f'{{"jsonrpc": "2.0", "id": {ident}, "method": "{method}", "params": {params}}}'


def deep(levels: int) -> str:
    """Return lists within lists."""
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "body",
    [
        message("GetTask", '{"id": "x"}', f'"{HALF}"'),
        message("GetTask", f'{{"id": "{HALF}"}}'),
        message("tasks/get", f'{{"id": "{HALF}"}}'),
        message("message/send", f'{{"message": {{{SAID}}}, "metadata": {{"{HALF}": 1}}}}'),
        message("GetTask", '{"id": "x"}').replace("x", "\ud800").encode("utf-8", "surrogatepass"),
        message("GetTask", f'{{"id": "{HALF}"}}').encode("utf-16"),
        message("GetTask", '{"id": NaN}'),
        message("GetTask", '{"id": "x"}', "9" * 5000),
        message("message/send", f'{{"message": {{{SAID}}}, "metadata": {{"a": {deep(60)}}}}}'),
        message("message/send", f'{{"message": {{{SAID}}}, "metadata": {{"a": {deep(3000)}}}}}'),
        message("GetTask", f'{{"id": "x", "other": {deep(200_000)}}}'),
        b'{"jsonrpc": "\xff"}',
        b'{"jsonrpc',
        b"",
    ],
)
async def test_what_cannot_be_read_is_a_parse_error(edge: Edge, body: str | bytes) -> None:
    """Half a surrogate pair, other encodings than UTF-8, no numbers, and nesting that no message needs."""
    for version in ("1.0", "0.3"):
        status, answer = await answered(edge, body, version)

        assert (status, answer["id"], answer["error"]["code"]) == (200, None, PARSE_ERROR)
        assert answer["error"]["message"] == "The message is not JSON that can be read."
        assert "data" not in answer["error"]


@pytest.mark.parametrize("number", ["99999999999", "-99999999999", "-1", '"99999999999"', "1e11"])
@pytest.mark.parametrize(
    ("version", "method", "params"),
    [
        ("1.0", "GetTask", '{"id": "TASK", "historyLength": NUMBER}'),
        ("0.3", "tasks/get", '{"id": "TASK", "historyLength": NUMBER}'),
        ("1.0", "SendMessage", f'{{"message": {SAID_NOW}, "configuration": {{"historyLength": NUMBER}}}}'),
        ("0.3", "message/send", f'{{"message": {{{SAID}}}, "configuration": {{"historyLength": NUMBER}}}}'),
        ("0.3", "message/stream", f'{{"message": {{{SAID}}}, "configuration": {{"historyLength": NUMBER}}}}'),
        ("1.0", "ListTasks", '{"pageSize": NUMBER}'),
        ("1.0", "ListTasks", '{"historyLength": NUMBER}'),
        ("0.3", "tasks/get", '{"id": "TASK", "history_length": NUMBER}'),
    ],
)
async def test_a_number_that_counts_nothing_is_an_invalid_parameter(
    edge: Edge, version: str, method: str, params: str, number: str
) -> None:
    """In both versions, and before anything is asked."""
    body = message(method, params.replace("NUMBER", number).replace("TASK", "x"))
    status, answer = await answered(edge, body, version)

    assert (status, answer["id"], answer["error"]["code"]) == (200, 7, INVALID_PARAMS)
    entries, _ = await edge.services.conversations.directory.runs(
        "default", agent=None, user_id=None, limit=9, after=None
    )
    assert not entries


async def test_a_number_that_no_double_holds_is_an_invalid_parameter(edge: Edge) -> None:
    """Metadata has numbers as JSON's other readers have them."""
    body = message("message/send", f'{{"message": {{{SAID}}}, "metadata": {{"a": 1{"0" * 400}}}}}')
    _, answer = await answered(edge, body, "0.3")

    assert (answer["id"], answer["error"]["code"]) == (7, INVALID_PARAMS)


async def test_a_message_that_is_nested_as_messages_are_is_read(edge: Edge) -> None:
    """Up to what the SDK itself reads; an id may be any integer or text."""
    for ident in ('"\\u00e9"', "12345678901234567890"):
        body = message("tasks/get", f'{{"id": "x", "metadata": {{"a": {deep(28)}}}}}', ident)
        _, answer = await answered(edge, body, "0.3")

        assert (answer["id"], answer["error"]["code"]) == (json.loads(ident), -32001)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example.com/x", "webhook_not_https"),
        ("https://127.0.0.1/x", "webhook_address_refused"),
        ("https://169.254.169.254/latest", "webhook_address_refused"),
        ("ftp://example.com", "invalid_webhook_url"),
        ("", "invalid_webhook_url"),
    ],
)
async def test_notifications_go_nowhere_private(edge: Edge, url: str, code: str) -> None:
    """An address that is not public is refused as it is set, and nothing is run."""
    pushed = f'{{"url": "{url}", "token": "t"}}'
    told = f'{{"message": {SAID_NOW}, "configuration": {{"taskPushNotificationConfig": {pushed}}}}}'
    _, answer = await answered(edge, message("SendMessage", told))

    assert (answer["error"]["code"], code in json.dumps(answer["error"])) == (INVALID_PARAMS, True)
    entries, _ = await edge.services.conversations.directory.runs(
        "default", agent=None, user_id=None, limit=9, after=None
    )
    assert not entries
