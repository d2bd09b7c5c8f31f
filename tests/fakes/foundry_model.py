"""What the fake Foundry answers: by rule, in the shapes of the Responses API.

The answer reflects what the model was given: `heard 3 messages (system, user, user), the last: 'Hi'`. A user message
`/tool NAME {"argument": "value"}` makes it call that function first, `/search WORDS` search the web, `/mcp LABEL NAME
{"argument": "value"}` call that server's tool, each only if the agent's definition has the tool; `/both` stands for
`/mcp` and a call of `calculator` in one turn. A server's tool is asked about where the definition says so. With a JSON
Schema the answer is a small instance of it.
Tokens: one for every 4 bytes of instructions and items, rounded up; half of the input counts as cached, and `REASONING`
tokens of reasoning are part of the output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

REASONING = 2
PIECE = 16
Item = dict[str, Any]


def input_items(given: Any) -> list[Item]:
    """Return a request's `input` as items."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return [{"type": "message", **item} if "role" in item else dict(item) for item in given or ()]


def unanswered_call(items: list[Item]) -> str | None:
    """Return the id of a function call that has no output, which the service refuses to go on from."""
    done = {item.get("call_id") for item in items if item["type"] == "function_call_output"}
    return next((i["call_id"] for i in items if i["type"] == "function_call" and i["call_id"] not in done), None)


def respond(definition: dict[str, Any], items: list[Item], limit: int | None, number: int) -> dict[str, Any]:
    """Return output, status and usage of a response to the conversation so far."""
    instructions = definition.get("instructions") or ""
    texts = [instructions, *map(_text, items)]
    output = _output(definition, items, number)
    status, details = "completed", None
    part = output[-1].get("content", [{}])[0]
    if limit is not None and _tokens(part.get("text", "")) + REASONING > limit:
        part["text"] = part["text"].encode()[: max(0, limit - REASONING) * 4].decode(errors="ignore")
        status, details = "incomplete", {"reason": "max_output_tokens"}
    spent, made = _tokens(*texts), _tokens(*map(_text, output)) + REASONING
    return {
        "output": output,
        "status": status,
        "incomplete_details": details,
        "usage": {
            "input_tokens": spent,
            "input_tokens_details": {"cached_tokens": spent // 2},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": REASONING},
            "total_tokens": spent + made,
        },
    }


def events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the server-sent events of a streamed response."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        at = {"item_id": item["id"], "output_index": index}
        opened = {**item, **({"content": []} if "content" in item else {}), "status": "in_progress"}
        if item["type"] == "function_call":
            opened["arguments"] = ""
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        if item["type"] == "function_call":
            yield from _pieces("response.function_call_arguments", at, "arguments", item["arguments"])
        for place, part in enumerate(item.get("content", ())):
            here = {**at, "content_index": place}
            yield {"type": "response.content_part.added", **here, "part": {**part, "text": ""}}
            yield from _pieces("response.output_text", {**here, "logprobs": []}, "text", part["text"])
            yield {"type": "response.content_part.done", **here, "part": part}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def _pieces(kind: str, at: dict[str, Any], name: str, text: str) -> Iterator[dict[str, Any]]:
    for start in range(0, len(text), PIECE):
        yield {"type": f"{kind}.delta", **at, "delta": text[start : start + PIECE]}
    yield {"type": f"{kind}.done", **at, name: text}


def _output(definition: dict[str, Any], items: list[Item], number: int) -> list[Item]:
    last = _text(items[-1])
    command, _, rest = last.partition(" ")
    asked = items[-1].get("role") == "user"
    name, _, arguments = rest.partition(" ")
    tools = definition.get("tools") or ()
    if asked and command == "/tool" and any(tool.get("name") == name for tool in tools):
        call = {"id": f"fc_{number}", "call_id": f"call_{number}", "name": name, "arguments": arguments or "{}"}
        return [{"type": "function_call", "status": "completed", **call}]
    if asked and command in ("/mcp", "/both"):
        calls = _server_calls(tools, rest, number)
        if command == "/both":
            call = {"id": f"fc_{number}", "call_id": f"call_{number}", "name": "calculator", "status": "completed"}
            calls.append({"type": "function_call", "arguments": '{"expression": "2 + 3"}', **call})
        if any(item["type"] != "mcp_call" for item in calls):
            return calls
    found: list[Item] = _answered_calls(items, number)
    if asked and command == "/mcp":
        found = _server_calls(tools, rest, number)
    notes: list[Item] = []
    if asked and command == "/search" and any(tool["type"] == "web_search" for tool in tools):
        action = {"type": "search", "query": rest}
        found = [{"type": "web_search_call", "id": f"ws_{number}", "status": "completed", "action": action}]
        notes = [
            {"type": "url_citation", "url": "https://example.org/", "title": "x", "start_index": 0, "end_index": 5}
        ]
    schema = ((definition.get("text") or {}).get("format") or {}).get("schema")
    text = json.dumps(_instance(schema, schema)) if schema else _said(definition, items)
    part = {"type": "output_text", "text": text, "annotations": notes, "logprobs": []}
    message = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [part]}
    return [*found, message]


def answered_requests(items: list[Item]) -> list[str]:
    """Return the ids of the requests for approval that were answered, in order."""
    return [item["approval_request_id"] for item in items if item["type"] == "mcp_approval_response"]


def _server_calls(tools: Any, rest: str, number: int) -> list[Item]:
    """Return the call of a server's tool, or the request to be allowed it."""
    label, _, more = rest.partition(" ")
    name, _, arguments = more.partition(" ")
    server = next((tool for tool in tools if tool["type"] == "mcp" and tool["server_label"] == label), None)
    if server is None:
        return []
    said = {"server_label": label, "name": name, "arguments": arguments or "{}"}
    if server.get("require_approval", "always") == "always":
        return [{"type": "mcp_approval_request", "id": f"mcpr_{number}", **said}]
    return [_made(said, f"mcp_{number}", None)]


def _answered_calls(items: list[Item], number: int) -> list[Item]:
    """Return the calls that the latest answers to requests allow."""
    requests = {item["id"]: item for item in items if item["type"] == "mcp_approval_request"}
    done = {item.get("approval_request_id") for item in items if item["type"] == "mcp_call"}
    allowed = [item for item in items if item["type"] == "mcp_approval_response" and item["approve"]]
    return [
        _made(requests[item["approval_request_id"]], f"mcp_{number}_{place}", item["approval_request_id"])
        for place, item in enumerate(allowed)
        if item["approval_request_id"] not in done
    ]


def _made(said: Item, ident: str, request: str | None) -> Item:
    kept = {key: said[key] for key in ("server_label", "name", "arguments")}
    output = f"{said['name']} of {said['server_label']} was given {said['arguments']}"
    return {"type": "mcp_call", "id": ident, "status": "completed", "output": output, "error": None, **kept} | (
        {"approval_request_id": request} if request else {}
    )


def _said(definition: dict[str, Any], items: list[Item]) -> str:
    names = {"function_call": "assistant", "function_call_output": "tool"}
    roles = ["system"] if definition.get("instructions") else []
    roles += [str(item.get("role") or names.get(item["type"], item["type"])) for item in items]
    return f"heard {len(roles)} messages ({', '.join(roles)}), the last: '{_text(items[-1])}'"


def _instance(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], root)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "null")
    if kind == "object":
        return {name: _instance(inner, root) for name, inner in schema.get("properties", {}).items()}
    return {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "array": []}.get(kind)


def _text(item: Item) -> str:
    content = item.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    called = f"{item.get('name', '')}{item.get('arguments', '')}" if item["type"] == "function_call" else ""
    return str(content or item.get("output") or item.get("reason") or called)


def _tokens(*texts: str) -> int:
    return -(-sum(len(text.encode()) for text in texts) // 4)
