"""The OpenAI-compatible API, with OpenAI's own SDKs."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from devhost.services import node
from tests.e2e.support import PROMPT, Api, Stack
from tests.e2e.test_approvals import ASKING
from tests.waiting import QUIET_S


@pytest_asyncio.fixture
async def client(stack: Stack, api: Api) -> AsyncIterator[AsyncOpenAI]:
    """Yield OpenAI's SDK, pointed at the workspace of the test."""
    async with AsyncOpenAI(
        base_url=f"{stack.host.url}/api/v1",
        api_key="unused",
        default_headers={"X-Workspace": str(api.workspace)},
        timeout=QUIET_S,
    ) as made:
        yield made


def said(*texts: str) -> Any:
    """Return messages that the user and the assistant say in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


async def test_agents_are_models(api: Api, client: AsyncOpenAI) -> None:
    """Those that are switched on, by name; one that there is not is told as a model that is not there."""
    await api.declare("b")
    await api.declare("a")
    await api.declare("off")
    await api.call("POST", "agents/off/disable")

    listed = [model.id async for model in client.models.list()]
    one = await client.models.retrieve("a")

    assert listed == ["a", "b"]
    assert (one.id, one.object, one.owned_by) == ("a", "model", "agent")
    with pytest.raises(openai.NotFoundError) as missing:
        await client.models.retrieve("gpt-4o")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")


async def test_a_team_is_a_model(api: Api, client: AsyncOpenAI) -> None:
    """It is listed behind the agents; who of it answers is the team's to say, and it is given what was said before."""
    await api.declare("clerk", simulate={"reply": "The clerk."})
    await api.call("PUT", "teams/desk", {"members": [{"name": "clerk", "agent": "clerk", "role": "primary"}]})
    listed = [model.id async for model in client.models.list()]
    asked = await client.chat.completions.with_raw_response.create(
        model="desk", messages=said(PROMPT, "Yes?", "And the station?")
    )
    run = await api.get(f"runs/{asked.headers['x-run-id']}")
    session = await api.get(f"sessions/{run['session_id']}")

    assert listed == ["clerk", "desk"]
    assert asked.parse().choices[0].message.content == "The clerk."
    assert (run["agent"], session["assignment"]["team"]) == ("clerk", "desk")
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody")


async def test_a_completion_is_a_run(api: Api, client: AsyncOpenAI) -> None:
    """It has the run's answer and the tokens of all its model calls, and the run is listed with its session."""
    await api.declare("a", tools=["current_time"], simulate={"call_tool": "current_time", "reply": "It is late."})

    raw = await client.chat.completions.with_raw_response.create(
        model="a", messages=said(PROMPT), user="ada", metadata={"k": "v"}, temperature=0.1
    )
    answer = raw.parse()
    run = await api.get(f"runs/{raw.headers['x-run-id']}")

    assert answer.choices[0].message.content == "It is late."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    spend = run["spend"]
    assert spend["calls"] == 2
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        spend["input_tokens"],
        spend["output_tokens"],
    )
    assert answer.usage.total_tokens == spend["input_tokens"] + spend["output_tokens"]
    assert (run["user_id"], run["metadata"], run["session_id"]) == ("ada", {"k": "v"}, raw.headers["x-session-id"])
    assert raw.headers["x-ignored-parameters"] == "temperature"


async def test_what_was_said_before_is_the_history_of_a_new_session(api: Api, client: AsyncOpenAI) -> None:
    """A client that sends the whole conversation is understood: the session begins with it, in order."""
    await api.declare("a")
    messages = [{"role": "system", "content": "Be brief."}, *said("One", "1", f"{PROMPT} two")]

    raw = await client.chat.completions.with_raw_response.create(model="a", messages=messages)
    turns = await api.everything(f"sessions/{raw.headers['x-session-id']}/messages", 10)

    assert [(turn["role"], turn["text"]) for turn in turns[:4]] == [
        ("user", "Be brief."),
        ("user", "One"),
        ("assistant", "1"),
        ("user", f"{PROMPT} two"),
    ]
    assert turns[4]["text"] == raw.parse().choices[0].message.content


async def test_a_named_session_goes_on(api: Api, client: AsyncOpenAI) -> None:
    """Its own history counts; what the client repeats of it is not told twice."""
    await api.declare("a")
    here = {"X-Session-Id": "talk"}

    first = await client.chat.completions.create(model="a", messages=said(f"{PROMPT} 1"), extra_headers=here)
    answer = str(first.choices[0].message.content)
    await client.chat.completions.create(
        model="a", messages=said(f"{PROMPT} 1", answer, f"{PROMPT} 2"), extra_headers=here
    )
    turns = await api.everything("sessions/talk/messages", 10)

    assert [turn["text"] for turn in turns[::2]] == [f"{PROMPT} 1", f"{PROMPT} 2"]
    assert len(turns) == 4


async def test_the_same_key_is_the_same_run(api: Api, client: AsyncOpenAI) -> None:
    """Twenty requests with one Idempotency-Key get one answer, which is paid for once; other words are refused."""
    await api.declare("a")
    key = {"Idempotency-Key": str(uuid.uuid4())}

    async def ask(text: str = PROMPT) -> Any:
        history: Any = said("Hi", "Hello", text)
        return await client.chat.completions.create(model="a", messages=history, extra_headers=key)

    answers = await asyncio.gather(*(ask() for _ in range(20)))
    run = await api.get(f"runs/{key['Idempotency-Key']}")

    assert len({answer.id for answer in answers}) == 1
    assert (run["spend"]["calls"], run["attempt"]) == (1, 1)
    with pytest.raises(openai.ConflictError) as refused:
        await ask("something else")
    assert refused.value.code == "idempotency_conflict"


async def test_a_streamed_completion_has_the_same_words(api: Api, client: AsyncOpenAI) -> None:
    """In chunks of the protocol, which end with a reason and, where asked for, the usage."""
    await api.declare("a", simulate={"reply": "One two three.", "stream_chunk_ms": 1})

    stream = await client.chat.completions.create(
        model="a", messages=said(PROMPT), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "One two three."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "weather", "description": "The weather of a city.", "parameters": CITY}
SUNNY = "tool 'weather' returned 'Sunny.'"


async def declare_with_tools(api: Api) -> None:
    """Declare an agent that takes its callers' tools and asks for the weather."""
    await api.declare("a", client_tools=True, simulate={"call_tool": "weather"})


@pytest.mark.parametrize("stream", [False, True])
async def test_the_callers_own_tools_are_called_by_the_caller(api: Api, client: AsyncOpenAI, stream: bool) -> None:
    """As with OpenAI: the answer is the calls, and with their results in the next request the same session goes on."""
    await declare_with_tools(api)
    messages: Any = said(PROMPT)
    tools: Any = [{"type": "function", "function": WEATHER}]

    async def ask() -> tuple[Any, Any]:
        if not stream:
            raw = await client.chat.completions.with_raw_response.create(model="a", messages=messages, tools=tools)
            return raw.parse().choices[0], raw.parse().usage
        options: Any = {"stream_options": {"include_usage": True}}
        async with client.chat.completions.stream(model="a", messages=messages, tools=tools, **options) as chunks:
            whole = await chunks.get_final_completion()
        return whole.choices[0], whole.usage

    first, usage = await ask()
    (call,) = first.message.tool_calls
    messages += [
        first.message.model_dump(exclude_none=True, exclude={"parsed"}),
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny."},
    ]
    second, _ = await ask()
    runs = (await api.get("runs"))["items"]
    export = await api.call("GET", f"sessions/{runs[0]['session_id']}/export?format=markdown")

    assert "asks its caller for `weather`" in export.body.decode()
    assert (first.finish_reason, first.message.content or "") == ("tool_calls", "")
    assert (call.type, call.function.name, json.loads(call.function.arguments)) == (
        "function",
        "weather",
        {"city": PROMPT},
    )
    assert usage.total_tokens > 0
    assert (second.finish_reason, SUNNY in second.message.content) == ("stop", True)
    assert len(runs) == 2
    assert len({run["session_id"] for run in runs}) == 1
    assert runs[1]["tool_calls"] == [{"id": call.id, "name": "weather", "arguments": call.function.arguments}]


async def test_results_for_an_answer_that_was_gone_on_from_begin_another_session(api: Api, client: AsyncOpenAI) -> None:
    """A front end that asks again for an answer sends the same results: they are answered, with all that was said."""
    await declare_with_tools(api)
    tools: Any = [{"type": "function", "function": WEATHER}]
    first = await client.chat.completions.create(model="a", messages=said(PROMPT), tools=tools)
    (call,) = list[Any](first.choices[0].message.tool_calls or ())
    result = {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}
    messages: Any = [*said(PROMPT), first.choices[0].message.model_dump(exclude_none=True), result]

    answers = [await client.chat.completions.create(model="a", messages=messages, tools=tools) for _ in range(2)]
    runs = (await api.get("runs"))["items"]

    assert all(SUNNY in str(answer.choices[0].message.content) for answer in answers)
    assert len({run["session_id"] for run in runs}) == 2


@pytest.mark.parametrize("by", ["previous_response_id", "conversation", "input"])
async def test_a_response_asks_for_the_callers_tools(api: Api, client: AsyncOpenAI, by: str) -> None:
    """The results go on from the response, in its conversation, or with all items sent again."""
    await declare_with_tools(api)
    tools: Any = [{"type": "function", **WEATHER}]
    question: Any = {"role": "user", "content": PROMPT}
    first = await client.responses.create(model="a", input=[question], tools=tools)
    call: Any = first.output[0]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
    more: dict[str, Any] = {"input": [result]}
    if by == "input":
        more = {"input": [question, call.model_dump(exclude_none=True), result]}
    else:
        more[by] = first.id if by == "previous_response_id" else first.conversation.id  # pyright: ignore[reportOptionalMemberAccess]

    async with client.responses.stream(model="a", tools=tools, **more) as stream:
        second = await stream.get_final_response()

    assert (first.status, call.type, call.name) == ("completed", "function_call", "weather")
    assert json.loads(call.arguments) == {"city": PROMPT}
    assert SUNNY in second.output_text
    assert second.conversation == first.conversation


async def test_a_streamed_response_has_the_events_of_a_call(api: Api, client: AsyncOpenAI) -> None:
    """The SDK puts the call together from them; required and named choices are taken, too."""
    await declare_with_tools(api)
    tools: Any = [{"type": "function", **WEATHER}]

    choices: list[Any] = ["required", {"type": "function", "name": "weather"}]
    for choice in choices:
        async with client.responses.stream(model="a", input=PROMPT, tools=tools, tool_choice=choice) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()

        assert kinds[2:-1] == [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
        ]
        assert [item.type for item in final.output] == ["function_call"]


async def test_results_that_match_no_call_are_refused(api: Api, client: AsyncOpenAI) -> None:
    """Without a session nothing is run; in one, the run fails with the same code."""
    await declare_with_tools(api)
    await api.answer("a", session_id="talk")
    result: Any = {"role": "tool", "tool_call_id": "call_x", "content": "?"}
    call = {"id": "call_y", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    asked: Any = {"role": "assistant", "tool_calls": [call]}

    for messages, headers in (([asked, result], {}), ([result], {"X-Session-Id": "talk"})):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="a", messages=messages, extra_headers=headers)
        assert refused.value.code == "tool_results_unmatched"
    assert [run["state"] for run in (await api.get("runs"))["items"]] == ["failed", "succeeded"]


REFUSED: Any = [
    ({"model": "nobody"}, 404, "model_not_found", "model"),
    ({"model": "../a"}, 404, "model_not_found", "model"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "unsupported_tools", "tools"),
    ({"tool_choice": "required"}, 400, "unsupported_tools", "tools"),
    ({"n": 2}, 400, "unsupported_parameter", "n"),
    ({"response_format": {"type": "json_object"}}, 400, "unsupported_parameter", "response_format"),
    ({"modalities": ["text", "audio"]}, 400, "unsupported_parameter", "modalities"),
    ({"logprobs": True}, 400, "unsupported_parameter", "logprobs"),
    ({"messages": []}, 400, "invalid_input", "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, 400, "empty_query", "messages"),
    ({"messages": [{"role": "assistant", "content": "Hi"}]}, 400, "no_question", "messages"),
    ({"tools": [{"type": "web_search"}]}, 400, "unsupported_tools", "tools.0"),
    ({"tool_choice": {"type": "allowed_tools"}}, 400, "unsupported_tools", "tool_choice"),
    ({"messages": [{"role": "tool", "content": "1", "tool_call_id": "x"}]}, 400, "tool_results_unmatched", "messages"),
    ({"messages": [{"role": "tool", "content": "1"}]}, 400, "invalid_input", "messages.0.tool_call_id"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]},
        400,
        "unsupported_content",
        "messages.0.content.0",
    ),
    ({"messages": [{"role": "user", "content": "é" * 200_000}]}, 400, "context_length_exceeded", "messages"),
    ({"messages": [{"role": "user", "content": "x" * 300_000}]}, 400, "context_length_exceeded", "messages"),
    ({"user": "a!b"}, 400, "invalid_user_id", "user"),
    ({"no_such_parameter": 1}, 400, "invalid_input", "no_such_parameter"),
    ({"stream": "perhaps"}, 400, "invalid_input", "stream"),
]


async def test_what_cannot_be_asked_is_refused(api: Api, client: AsyncOpenAI) -> None:
    """In OpenAI's shape, with what is wrong and where; nothing is run, and the SDK does not try again."""
    await api.declare("a")

    for body, status, code, param in REFUSED:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.post("/chat/completions", body={"model": "a", "messages": said(PROMPT)} | body, cast_to=object)
        assert (refused.value.status_code, refused.value.code, refused.value.param) == (status, code, param)
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert PROMPT not in refused.value.response.text
    assert (await api.get("runs"))["items"] == []


async def test_a_foreign_session_is_not_found(api: Api, client: AsyncOpenAI) -> None:
    """Another user's session is told as if there were none; one with another agent is a conflict."""
    await api.declare("a")
    await api.declare("b")
    await api.answer("a", session_id="hers", user_id="ada")
    messages: Any = said(PROMPT)

    for model, user, kind, code in (
        ("a", "bob", openai.NotFoundError, "session_not_found"),
        ("b", "ada", openai.ConflictError, "session_agent_mismatch"),
    ):
        with pytest.raises(kind) as refused:
            await client.chat.completions.create(
                model=model, user=user, messages=messages, extra_headers={"X-Session-Id": "hers"}
            )
        assert refused.value.code == code


async def test_a_used_up_budget_is_a_quota(api: Api, client: AsyncOpenAI) -> None:
    """429 `insufficient_quota`, which the SDK does not repeat; the run is cancelled, for nobody reads its answer."""
    await api.declare("a")
    await api.call("PUT", "budgets/agent:a", {"limits": [{"unit": "tokens", "period": "day", "limit": 1}]})

    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="a", messages=said(PROMPT), stream=stream)
        assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    states = {run["state"] for run in (await api.get("runs"))["items"]}

    assert states == {"cancelled"}


async def test_a_tool_call_that_waits_for_approval(api: Api, client: AsyncOpenAI) -> None:
    """A completion is told so with the run, which goes on once it is decided; a response is in progress until then."""
    await api.declare("cashier", **ASKING)

    with pytest.raises(openai.ConflictError) as waiting:
        await client.chat.completions.create(model="cashier", messages=said("20 + 3"))
    response = await client.responses.create(model="cashier", input="20 + 3")
    run_id = str(uuid.UUID(hex=response.id.removeprefix("resp_")))
    (item,) = (await api.get(f"approvals?run={run_id}"))["items"]
    await api.call("POST", f"approvals/{item['id']}/decision", {"decision": "approve"})
    await api.ended(run_id)
    done = await client.responses.retrieve(response.id)

    assert waiting.value.code == "approval_needed"
    assert response.status == "in_progress"
    assert (done.status, "returned '23'" in done.output_text) == ("completed", True)


@pytest.mark.parametrize(
    ("fails", "kind", "code"),
    [
        ("content_filter", openai.BadRequestError, "content_filter"),
        ("rejected", openai.InternalServerError, "provider_rejected"),
    ],
)
async def test_a_failed_run_is_an_error(
    api: Api, client: AsyncOpenAI, fails: str, kind: type[openai.APIStatusError], code: str
) -> None:
    """Whole or streamed, before there is any text: the status says what happened, and no second run is made."""
    await api.declare("a", simulate={"fail_first": 1, "fail_with": fails})

    for stream in (False, True):
        with pytest.raises(kind) as failed:
            await client.chat.completions.create(model="a", messages=said(PROMPT), stream=stream)
        assert failed.value.code == code
    assert len((await api.get("runs"))["items"]) == 2


async def test_an_answer_that_takes_longer_can_be_read_later(api: Api, client: AsyncOpenAI) -> None:
    """A completion times out and names the run; a response says that it is in progress, and can be cancelled."""
    await api.declare("a", simulate={"latency_ms": 20_000})
    soon = {"Prefer": "wait=1"}

    with pytest.raises(openai.InternalServerError) as late:
        await client.chat.completions.create(model="a", messages=said(PROMPT), extra_headers=soon)
    response = await client.responses.create(model="a", input=PROMPT, extra_headers=soon)
    cancelled = await client.responses.cancel(response.id)
    run = (await api.get("runs"))["items"]

    assert (late.value.status_code, late.value.code) == (504, "timeout")
    assert response.status in ("queued", "in_progress")
    assert cancelled.id == response.id
    assert len(run) == 2
    for one in run:
        assert one["id"] in late.value.message or one["session_id"] == response.conversation.id  # pyright: ignore[reportOptionalMemberAccess]
        await api.call("POST", f"runs/{one['id']}/cancel")


async def test_a_response_is_a_run_and_a_conversation_is_a_session(api: Api, client: AsyncOpenAI) -> None:
    """A conversation's responses see what was said in it, by its id or by that of the response before."""
    await api.declare("a")
    conversation = await client.conversations.create()

    one = await client.responses.create(model="a", input=f"{PROMPT} 1", conversation=conversation.id, user="ada")
    two = await client.responses.create(model="a", input=f"{PROMPT} 2", previous_response_id=one.id, user="ada")
    three = await client.responses.create(
        model="a", input=[{"role": "user", "content": f"{PROMPT} 3"}], conversation=conversation.id, user="ada"
    )
    again = await client.responses.retrieve(three.id)
    session = await api.get(f"sessions/{conversation.id}")

    for number, response in enumerate((one, two, three), 1):
        assert f"turn {number}" in response.output_text
    assert (three.status, three.usage is not None) == ("completed", True)
    assert again.output_text == three.output_text
    assert (session["runs"], session["turns"], session["user_id"]) == (3, 6, "ada")


async def test_an_earlier_response_can_be_gone_on_from(api: Api, client: AsyncOpenAI) -> None:
    """What came after it is not known to the branch, which is a session of its own."""
    await api.declare("a")
    one = await client.responses.create(model="a", input=f"{PROMPT} 1")
    two = await client.responses.create(model="a", input=f"{PROMPT} 2", previous_response_id=one.id)

    other = await client.responses.create(model="a", input=f"{PROMPT} other", previous_response_id=one.id)
    turns = await api.everything(f"sessions/{other.conversation.id}/messages", 10)  # pyright: ignore[reportOptionalMemberAccess]

    assert other.conversation != two.conversation
    assert [turn["text"] for turn in turns[:3]] == [f"{PROMPT} 1", one.output_text, f"{PROMPT} other"]


async def test_a_response_in_the_background(api: Api, client: AsyncOpenAI) -> None:
    """It is answered at once and got when it is done."""
    await api.declare("a", simulate={"latency_ms": 300, "reply": "Done."})

    begun = await client.responses.create(model="a", input=PROMPT, background=True, metadata={"k": "v"})
    run_id = str(uuid.UUID(hex=begun.id.removeprefix("resp_")))
    await api.ended(run_id)
    done = await client.responses.retrieve(begun.id)

    assert (begun.status, begun.background) == ("queued", True)
    assert (done.status, done.output_text, done.metadata) == ("completed", "Done.", {"k": "v"})


async def test_a_streamed_response_has_the_events_of_the_protocol(api: Api, client: AsyncOpenAI) -> None:
    """Created, its text in pieces, and the whole response at the end, numbered in order."""
    await api.declare("a", simulate={"reply": "One two three."})

    async with client.responses.stream(model="a", input=PROMPT) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()

    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "One two three."


async def test_a_response_that_fails_says_so(api: Api, client: AsyncOpenAI) -> None:
    """It is there, with the reason; streamed, its last event is that it failed."""
    await api.declare("a", simulate={"fail_first": 1, "fail_with": "rejected"})

    failed = await client.responses.create(model="a", input=PROMPT)
    stream = await client.responses.create(model="a", input=PROMPT, stream=True)
    events = [event async for event in stream]

    assert (failed.status, failed.output) == ("failed", [])
    assert failed.error is not None
    assert failed.error.code == "provider_rejected"
    assert events[-1].type == "response.failed"


REFUSED_RESPONSES: Any = [
    ({"model": "nobody"}, 404, "model_not_found"),
    ({"previous_response_id": "resp_none"}, 404, "response_not_found"),
    ({"previous_response_id": f"resp_{'0' * 32}"}, 404, "response_not_found"),
    ({"conversation": "c", "previous_response_id": f"resp_{'0' * 32}"}, 400, "mutually_exclusive"),
    ({"conversation": "~"}, 400, "invalid_session_id"),
    ({"tools": [{"type": "web_search"}]}, 400, "unsupported_tools"),
    ({"store": False}, 400, "unsupported_parameter"),
    ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}}, 400, "unsupported_parameter"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]}, 400, "tool_results_unmatched"),
    ({"input": [{"type": "computer_call", "call_id": "c"}]}, 400, "unsupported_tools"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, 400, "unsupported_content"),
    ({"input": []}, 400, "invalid_input"),
]


async def test_what_is_no_response_is_refused(api: Api, client: AsyncOpenAI) -> None:
    """As for completions."""
    await api.declare("a")

    for body, status, code in REFUSED_RESPONSES:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.post("/responses", body={"model": "a", "input": PROMPT} | body, cast_to=object)
        assert (refused.value.status_code, refused.value.code) == (status, code)
    assert (await api.get("runs"))["items"] == []


async def test_what_is_no_request_is_answered_in_the_same_shape(api: Api) -> None:
    """Text, another content type, an unknown query parameter and another method."""
    replies = [
        await api.call("POST", "v1/chat/completions", b"{"),
        await api.call("POST", "v1/chat/completions", b"{}", Content_Type="text/plain"),
        await api.call("GET", "v1/models?limt=1"),
    ]
    wrong_method = await api.call("GET", "v1/chat/completions")

    assert [(reply.status, reply.json()["error"]["code"]) for reply in replies] == [
        (400, "malformed_json"),
        (415, "unsupported_media_type"),
        (400, "unknown_parameter"),
    ]
    assert (wrong_method.status, wrong_method.headers["allow"]) == (405, "POST")
    assert json.loads(replies[0].body)["error"]["type"] == "invalid_request_error"


async def test_the_javascript_sdk_is_answered_too(api: Api, stack: Stack) -> None:
    """Models, completions whole and streamed, responses of a conversation, and an error."""
    await api.declare("a", simulate={"reply": "One two three."})
    await api.declare("b", client_tools=True, simulate={"call_tool": "weather"})
    program = await asyncio.create_subprocess_exec(
        node(),
        str(Path(__file__).with_name("openai_client.mjs")),
        f"{stack.host.url}/api/v1",
        str(api.workspace),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, log = await program.communicate()
    assert program.returncode == 0, log.decode()
    told = json.loads(output)

    assert told["models"] == ["a", "b"]
    assert told["whole"] == told["streamed"] == told["response"] == told["last"] == "One two three."
    assert told["tokens"] == told["streamedTokens"] > 0
    assert told["sameConversation"]
    assert (told["kinds"][0], told["kinds"][-1]) == ("response.created", "response.completed")
    assert told["called"] == {"finish": "tool_calls", "name": "weather", "arguments": {"city": "zq-prompt"}}
    assert "tool 'weather' returned 'Sunny.'" in told["afterCall"]
    assert "tool 'weather' returned 'Rain.'" in told["afterResponseCall"]
    assert told["refused"] == {"name": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"}


def front_end(first: str, answer: str) -> list[tuple[str, str, Any]]:
    """Return what Open WebUI asks of a connection in a conversation of two questions, as its source writes it.

    The models when a person opens it; each question with all that was said, streamed; and in the background, whole,
    what it makes of the conversation: a title, tags, what to ask next.
    """
    question = {"role": "user", "content": first}
    task = "### Task:\nGenerate a concise, 3-5 word title summarizing the chat history.\n### Chat History:\n"
    told = [{"role": "system", "content": "Answer in Markdown."}, question]
    chat = {"model": "a", "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.7, "top_p": 0.9}
    background = {"model": "a", "stream": False, "max_completion_tokens": 1000}
    return [
        ("GET", "v1/models", None),
        ("POST", "v1/chat/completions", chat | {"messages": told}),
        ("POST", "v1/chat/completions", background | {"messages": [{"role": "user", "content": task + first}]}),
        (
            "POST",
            "v1/chat/completions",
            chat | {"messages": [*told, {"role": "assistant", "content": answer}, {"role": "user", "content": PROMPT}]},
        ),
    ]


async def test_what_a_chat_front_end_asks_is_answered(api: Api) -> None:
    """The requests of Open WebUI for a conversation, with the headers that it sends."""
    await api.declare("a", simulate={"reply": "Good."})
    headers = {
        "Authorization": "Bearer sk-any",
        "X_OpenWebUI_User_Name": "Ada",
        "X_OpenWebUI_User_Id": str(uuid.uuid4()),
        "X_OpenWebUI_User_Email": "ada@example.com",
        "X_OpenWebUI_User_Role": "user",
        "X_OpenWebUI_Chat_Id": str(uuid.uuid4()),
        "HTTP_Referer": "https://openwebui.com/",
        "X_Title": "Open WebUI",
    }

    replies = [await api.call(method, path, body, **headers) for method, path, body in front_end(PROMPT, "Good.")]

    assert [reply.status for reply in replies] == [200] * 4
    assert replies[0].json()["data"][0]["id"] == "a"
    for streamed in (replies[1], replies[3]):
        assert streamed.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in streamed.body.decode().split("\n\n") if line]
        assert lines[-1] == "data: [DONE]"
        assert json.loads(lines[-2].removeprefix("data: "))["usage"]["total_tokens"] > 0
    assert replies[2].json()["choices"][0]["message"]["content"] == "Good."
