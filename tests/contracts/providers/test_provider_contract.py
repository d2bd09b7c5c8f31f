"""What every provider promises; see `lifecycle.registry.providers.AgentProvider`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from agent_framework import ChatContext, ChatMiddleware, Message, UsageDetails
from agent_framework.exceptions import ChatClientException

from kernel.errors import Conflict, InternalError, InvalidInput, ProviderRejected, Unavailable
from lifecycle.registry.providers import AttemptId
from lifecycle.specs.spec import Simulation
from tests.contracts.providers.conftest import NOW, Failure, World, ask, wanted
from tests.contracts.providers.metering import Meter
from tests.fakes.foundry_server import FakeFoundry
from tests.waiting import QUIET_S


def tokens(usage: UsageDetails | None) -> tuple[int | None, int | None]:
    assert usage is not None
    return usage.get("input_token_count"), usage.get("output_token_count")


async def test_nothing_is_found_before_it_is_made(world: World) -> None:
    """An agent that nobody made is not found."""
    assert not await world.provider.find(wanted(world.spec()))


async def test_a_made_version_exists_and_carries_our_name(world: World) -> None:
    """What was created exists, under the name it was wanted by, and is found again if the provider keeps agents."""
    want = wanted(world.spec())
    made = await world.provider.create(want)

    assert made.name == want.name
    assert made.created_at == NOW
    assert await world.provider.exists(made)
    assert list(await world.provider.find(want)) == ([] if world.kind in ("openai", "route") else [made])


async def test_another_spec_makes_another_version(world: World) -> None:
    """Two specs of one agent are two versions with ids of their own."""
    first = await world.provider.create(wanted(world.spec(instructions="Be brief.")))
    second = await world.provider.create(wanted(world.spec(instructions="Be long.")))

    assert (first.name, first.version) != (second.name, second.version)
    assert first.id != second.id


async def test_deleting_twice_is_no_error(world: World) -> None:
    """Deleting what is gone already does nothing."""
    made = await world.provider.create(wanted(world.spec()))
    await world.provider.delete(made)

    await world.provider.delete(made)


async def test_opening_calls_nobody(world: World) -> None:
    """An agent is opened without I/O, so also where the provider cannot be reached."""
    made = await world.provider.create(wanted(world.spec()))
    before = world.requests
    world.provider.open(made, world.spec())

    assert world.requests == before


async def test_an_unknown_tool_is_refused_when_opening(world: World) -> None:
    """A spec that names a tool the app lacks is told so, and which."""
    spec = world.spec(tools=("calculator", "telepathy"))

    with pytest.raises(InvalidInput, match="telepathy") as caught:
        await world.open(spec)

    assert caught.value.code == "unknown_tool"
    assert list(caught.value.fields) == ["/tools/1"]


async def test_a_run_answers_and_counts_its_tokens(world: World) -> None:
    """An answer has text, usage, and a total that is the sum of both sides."""
    response = await (await world.open(world.spec())).run("How are you?")
    spent, made = tokens(response.usage_details)

    assert response.text
    assert spent
    assert made
    assert (response.usage_details or {}).get("total_token_count") == spent + made


async def test_instructions_reach_the_model(world: World) -> None:
    """Instructions cost input tokens, so they were sent."""
    plain = await (await world.open(world.spec())).run("Hi")
    told = await (await world.open(world.spec(instructions="Answer in French. " * 10))).run("Hi")

    assert (tokens(told.usage_details)[0] or 0) - (tokens(plain.usage_details)[0] or 0) >= 40


async def test_a_session_carries_the_history(world: World) -> None:
    """The second turn of a session is answered with the first in view, one without a session is not."""
    agent = await world.open(world.spec())
    session = agent.create_session()
    first = await agent.run("Remember the number seven.", session=session)
    second = await agent.run("Which number?", session=session)
    alone = await agent.run("Which number?")

    assert (tokens(second.usage_details)[0] or 0) > (tokens(first.usage_details)[0] or 0)
    assert second.text != alone.text


async def test_history_can_be_given_as_messages(world: World) -> None:
    """A conversation passed in whole counts like one kept in a session."""
    agent = await world.open(world.spec())
    session = agent.create_session()
    first = await agent.run("Remember the number seven.", session=session)
    second = await agent.run("Which number?", session=session)
    given = [Message("user", ["Remember the number seven."]), *first.messages, Message("user", ["Which number?"])]

    assert (await agent.run(given)).text == second.text


async def test_runs_of_one_agent_do_not_mix(world: World) -> None:
    """One opened agent serves many conversations at once, each with its own history and middleware."""
    agent = await world.open(world.spec())
    expected = await agent.run(["First of two", "Second"])

    async def converse() -> tuple[str, int]:
        session, meter = agent.create_session(), Meter()
        await agent.run("First of two", session=session, middleware=[meter])
        last = await agent.run("Second", session=session, middleware=[meter])
        return last.text.split("messages")[0], len(meter.calls)

    results = await asyncio.gather(*(converse() for _ in range(20)))

    assert expected.text
    assert set(results) == {results[0]}
    assert results[0][1] == 2


async def test_a_stream_says_the_same_piece_by_piece(world: World) -> None:
    """Streaming gives several pieces that add up, as each says it does, to the answer and the usage of a plain run."""
    agent = await world.open(world.spec())
    plain = await agent.run("Tell me about trees.")
    stream = agent.run("Tell me about trees.", stream=True)
    contents = [content async for update in stream for content in update.contents if content.type == "text"]
    final = await stream.get_final_response()
    text = ""
    for content in contents:  # the Responses API repeats the whole text at its end
        text = (content.text or "") if content.merge_mode == "replace" else text + (content.text or "")

    assert len(contents) > 1
    assert text == final.text == plain.text
    assert tokens(final.usage_details) == tokens(plain.usage_details)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_is_called_and_its_result_told(world: World, stream: bool) -> None:
    """The framework's loop runs the tool the model asked for and gives it the result."""
    agent, message = await world.calculating("6 * 7")
    response = await ask(agent, message, stream=stream)

    assert "'42'" in response.text


@pytest.mark.parametrize("stream", [False, True])
async def test_each_round_trip_is_metered(world: World, stream: bool) -> None:
    """A chat middleware sees every model call once, with its model, tokens and time, and they add up to the run's."""
    agent, message = await world.calculating("6 * 7")
    meter = Meter()
    response = await ask(agent, message, meter, stream=stream)
    usages = [tokens(call.usage) for call in meter.calls]

    assert [call.finish_reason for call in meter.calls] == ["tool_calls", "stop"]
    assert {(call.asked, call.served) for call in meter.calls} == {("gpt-4o-mini", "gpt-4o-mini")}
    assert all(call.latency_s > 0 for call in meter.calls)
    assert tokens(response.usage_details) == tuple(
        sum(side or 0 for side in sides) for sides in zip(*usages, strict=True)
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", ["throttled", "unavailable", "rejected", "content_filter"])
async def test_failures_are_translated(world: World, failure: Failure, stream: bool) -> None:
    """What `run` raises is translated into our errors, with the waiting time where one was named, and was metered."""
    agent, meter = await world.failing(failure), Meter()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
        await ask(agent, "Hi", meter, stream=stream)
    error = world.provider.translate(caught.value)

    codes = {
        "throttled": (Unavailable, "provider_throttled"),
        "unavailable": (Unavailable, "provider_unavailable"),
        "rejected": (ProviderRejected, "provider_rejected"),
        "content_filter": (ProviderRejected, "content_filter"),
    }
    assert (type(error), error.code) == codes[failure]
    assert (error.retry_after_s is not None) == (failure == "throttled")
    assert [(call.served, call.usage) for call in meter.calls] == [(None, None)]


async def test_an_attempt_can_be_named(world: World) -> None:
    """Which attempt of which run a call is can be told to every provider, also to one that does not care."""
    agent = await world.open(world.spec())

    assert (await agent.run("Hi", client_kwargs={"attempt": AttemptId("run", 2, "default")})).text


async def test_an_unknown_error_is_internal_and_silent(world: World) -> None:
    """What no rule knows is an internal error that does not repeat the text it came with."""
    error = world.provider.translate(RuntimeError("password=hunter2"))

    assert (type(error), error.code) == (InternalError, "internal_error")
    assert "hunter2" not in error.detail


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_ours_from_middleware_comes_through(world: World, stream: bool) -> None:
    """A budget that stops a call inside the framework is still that error outside of it."""

    class Stop(ChatMiddleware):
        async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
            raise Conflict(code="budget_exceeded")

    agent = await world.open(world.spec())
    with pytest.raises(Conflict) as caught:
        await ask(agent, "Hi", Stop(), stream=stream)

    assert world.provider.translate(caught.value) is caught.value


@pytest.mark.parametrize("stream", [False, True])
async def test_the_output_limit_is_kept(world: World, stream: bool) -> None:
    """An answer never has more tokens than the spec allows, and says that it was cut."""
    agent, meter = await world.open(world.spec(max_output_tokens=5)), Meter()
    response = await ask(agent, "Tell me everything about trees.", meter, stream=stream)

    assert (tokens(response.usage_details)[1] or 99) <= 5
    assert response.finish_reason == meter.calls[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_middleware_can_change_the_limit(world: World, stream: bool) -> None:
    """The limit that a middleware puts into the options holds, for the whole rest of the run and not beyond it."""

    class Degrade(ChatMiddleware):
        async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
            assert isinstance(context.options, dict)
            context.options |= {"max_tokens": 6}
            await call_next()

    agent, message = await world.calculating("1 + 1")
    meter, plain = Meter(), Meter()
    await ask(agent, message, Degrade(), meter, stream=stream)
    await agent.run("1", middleware=[plain])

    assert (tokens(meter.calls[1].usage)[1] or 99) <= 6
    assert (tokens(plain.calls[0].usage)[1] or 0) > 6


@pytest.mark.parametrize("stream", [False, True])
async def test_a_middleware_can_change_the_model(world: World, stream: bool) -> None:
    """The model that a middleware names is called, except at Foundry, where it is the version's; the meter is right."""

    class Degrade(ChatMiddleware):
        async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
            assert isinstance(context.options, dict)
            context.options |= {"model": "tiny"}
            await call_next()

    agent, message = await world.calculating("1 + 1")
    meter, plain = Meter(), Meter()
    await ask(agent, message, Degrade(), meter, stream=stream)
    await agent.run("1", middleware=[plain])

    assert {call.served for call in meter.calls} == {"gpt-4o-mini" if world.kind == "foundry" else "tiny"}
    assert plain.calls[0].served == "gpt-4o-mini"


async def test_a_stream_left_early_is_metered(world: World) -> None:
    """A consumer that stops reading and closes the stream leaves one line behind, without usage."""
    agent, meter = await world.open(world.spec()), Meter()
    async with agent.run("Tell me about trees.", stream=True, middleware=[meter]) as stream:
        async for _ in stream:
            break

    assert [call.usage for call in meter.calls] == [None]


async def test_a_cancelled_run_ends_at_once(world: World) -> None:
    """Cancelling a run in the middle of a model call ends it there, is no failure of the provider, and is metered."""
    agent, meter = await world.open(world.spec(Simulation(latency_ms=600_000))), Meter()
    world.hang_next()
    task = asyncio.ensure_future(agent.run("Hi", middleware=[meter]))
    await meter.begun.wait()
    await asyncio.sleep(0.1)  # in the middle of the call, where the machine is quick enough
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, QUIET_S)
    assert [call.usage for call in meter.calls] == [None]


async def test_closing_twice_is_no_error(world: World) -> None:
    """A provider can be closed more than once."""
    await world.provider.aclose()

    await world.provider.aclose()


async def test_an_inventory_shows_whose_agents_there_are(world: World) -> None:
    """It has every version of the agents that are ours, with what they were made for and from, and no other agents."""
    ours = [wanted(world.spec(instructions=said)) for said in ("Be brief.", "Be long.")]
    for want in (*ours, wanted(world.spec(), "theirs", owner="somebody else")):
        await world.provider.create(want)
    found = [each async for each in world.provider.inventory("tests")]

    if world.kind in ("openai", "route"):
        assert found == []
        return
    assert {(each.owner, each.workspace, each.agent, each.intact) for each in found} == {
        ("tests", "default", "helper", True)
    }
    assert sorted(each.version.version for each in found) == ["1", "2"]
    assert {each.version.fingerprint for each in found} == {want.fingerprint for want in ours}
    for want in ours:
        assert (await world.provider.find(want))[0] in [each.version for each in found]


async def test_the_inventory_of_nobody_is_empty(world: World) -> None:
    """An owner without agents owns none of the others'."""
    await world.provider.create(wanted(world.spec()))

    assert [each async for each in world.provider.inventory("nobody")] == []


async def test_what_was_deleted_is_found_nowhere(world: World) -> None:
    """A deleted version is not found, has no definition and is in no inventory; another version of the agent stays."""
    first, second = wanted(world.spec(instructions="a")), wanted(world.spec(instructions="b"))
    made, kept = await world.provider.create(first), await world.provider.create(second)
    await world.provider.delete(made)

    assert not await world.provider.find(first)
    assert await world.provider.definition(made) is None
    assert await world.provider.exists(kept)
    assert made not in [each.version async for each in world.provider.inventory("tests")]


async def test_a_definition_can_be_archived(world: World) -> None:
    """What the provider holds of a version is JSON that says what it is; nothing where it holds nothing."""
    made = await world.provider.create(wanted(world.spec(instructions="Be brief.", temperature=0.5)))
    archived = json.dumps(await world.provider.definition(made))

    assert archived == "null" if world.kind in ("openai", "route") else "Be brief." in archived and "0.5" in archived


async def test_switching_is_idempotent(world: World) -> None:
    """An agent can be switched off and on as often as one likes, also one that is not there, and runs in the end."""
    agent = await world.open(world.spec())
    for name in ("helper", "nobody"):
        off = {await world.provider.disable(name, "tests") for _ in range(2)}
        assert off == {world.kind == "foundry" and name == "helper"}
        await world.provider.enable(name)
        await world.provider.enable(name)

    assert (await agent.run("Hi")).text


async def test_a_known_conversation_is_kept_without_a_request(world: World) -> None:
    """A session's conversation is asked for on every run, so one that is known costs nothing."""
    made = await world.provider.create(wanted(world.spec()))
    conversation = await world.provider.conversation(made, "default/session-1", None)
    before = world.requests

    assert (
        await world.provider.conversation(made, "default/session-1", conversation) == conversation or not conversation
    )
    assert world.requests == before or not conversation
    assert (conversation is not None) == (world.kind == "foundry")


async def test_a_conversation_can_be_forgotten(world: World) -> None:
    """What was said in it is gone at the provider; forgetting it again is no error."""
    spec = world.spec()
    made = await world.provider.create(wanted(spec))
    agent = world.provider.open(made, spec)
    conversation = await world.provider.conversation(made, "default/session-1", None) or "none"
    if world.kind == "foundry":
        await agent.run("Hi", session=agent.get_session(conversation))
    for _ in range(2):
        await world.provider.forget_conversation(conversation)

    if isinstance(world.fake, FakeFoundry):
        assert world.fake.project.conversations == {}
        with pytest.raises(ChatClientException) as caught:
            await agent.run("Hi", session=agent.get_session(conversation))
        assert world.provider.translate(caught.value).code == "conversation_gone"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_session_is_answered_the_same_with_and_without_a_conversation(world: World, stream: bool) -> None:
    """A run in a conversation is given only what is new, one without is given all; the model hears the same."""
    spec = world.spec(tools=("calculator",))
    agent, made = await world.open(spec), await world.provider.create(wanted(spec, "other"))
    texts: list[str] = []
    history: list[Message | str] = []
    conversation = None
    for query in ("Remember the number seven.", "Which number?", "Thank you."):
        conversation = await world.provider.conversation(made, "default/session-1", conversation)
        session = agent.get_session(conversation) if conversation else None
        messages = [query] if conversation else [*history, query]
        stream_of = agent.run(messages, session=session, stream=True) if stream else None
        response = await (stream_of.get_final_response() if stream_of else agent.run(messages, session=session))
        history += [Message("user", [query]), Message("assistant", [response.text])]
        texts.append(response.text)
        assert session is None or session.service_session_id == conversation

    alone = await agent.run([*history[:-2], "Thank you."])
    assert texts[-1] == alone.text


async def test_a_new_conversation_takes_up_the_history(world: World) -> None:
    """Where a conversation is begun in the middle of a session, the history is sent along once and then is in it."""
    agent, made = await world.open(world.spec()), await world.provider.create(wanted(world.spec(), "other"))
    conversation = await world.provider.conversation(made, "default/session-1", None)
    session = agent.get_session(conversation) if conversation else None
    history = [Message("user", ["Remember the number seven."]), Message("assistant", ["I do."])]
    answer = await agent.run([*history, "Which number?"], session=session)
    told = [*history, Message("user", ["Which number?"]), Message("assistant", [answer.text])]
    session = agent.get_session(conversation) if conversation else None
    last = await agent.run(["Thank you."] if session else [*told, "Thank you."], session=session)

    assert last.text == (await agent.run([*told, "Thank you."])).text
