"""Runs whose ends are reported: by webhook or to a queue, once each, whatever dies in between."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from kernel.errors import Conflict, InvalidInput, NotFound, Unavailable
from lifecycle.callbacks.callback_delivery import CallbackDelivery, CallbackSender, Reply
from lifecycle.callbacks.delivery_status import CallbackRecord
from lifecycle.callbacks.targets import report_of
from lifecycle.conversations import run_transitions as run_rules
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_callbacks import Callback, RunEnds, ends_of
from lifecycle.conversations.run_request import RunRequest, Submission
from llmops.notifications.signing import signed
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, spec
from tests.llmops.notifications.support import SECRET, Receiver

SETTINGS: dict[str, Any] = {"WEBHOOKS_ALLOW_PRIVATE": "true", "REPLY_QUEUES": "agent-replies, other"}


@dataclass
class Broker:
    """A Service Bus namespace that takes replies, or refuses them."""

    sent: list[tuple[str, Reply]] = field(default_factory=list[tuple[str, Reply]])
    refuse: int = 0

    async def send(self, queue: str, reply: Reply) -> None:
        if self.refuse:
            self.refuse -= 1
            raise Unavailable(code="reply_queue_unavailable")
        self.sent.append((queue, reply))


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setenv("CALLBACK_SECRET_BILLING", SECRET)
    monkeypatch.setenv("CALLBACK_SECRET_BAD", "not a secret")
    monkeypatch.setenv("OTHER_SECRET", SECRET)
    app = App(**SETTINGS)
    await app.declare()
    return app


def replying(app: App, broker: Broker) -> CallbackDelivery:
    """Return what reports the app's runs by the broker."""
    services = app.services
    sender = CallbackSender(services.notifications.targets, services.notifications.webhooks, broker, app.clock)
    return CallbackDelivery(
        RunEnds(app.tables), services.conversations.callback_records, services.conversations.store, sender, app.clock
    )


async def reported(app: App, run: Run) -> CallbackRecord | None:
    await app.services.conversations.callbacks.aclose()
    return await app.services.conversations.callback_records.get(run.workspace, run.created_at, run.id)


async def test_an_ended_run_is_reported_at_once_signed(app: App) -> None:
    """The process that ends the run sends the report, signed as Standard Webhooks has it; the timer finds nothing."""
    async with Receiver() as receiver:
        callback = Callback(url=receiver.url, secret_setting="CALLBACK_SECRET_BILLING")
        run = await app.ask(callback=callback, metadata={"order": "7"})
        record = await reported(app, run)
        app.clock.move(minutes=5)
        again = await app.services.conversations.callbacks.deliver()

    [sent] = receiver.received
    body = sent.json()
    assert (body["type"], body["data"]["answer"], body["data"]["metadata"]) == (
        "run.succeeded",
        run.answer,
        {"order": "7"},
    )
    assert sent.headers["webhook-id"] == f"run_{run.id}_0"
    assert sent.headers["webhook-signature"] == signed(SECRET, f"run_{run.id}_0", NOW, sent.body)["webhook-signature"]
    assert record is not None
    assert (record.state, record.attempts, record.status, record.target) == ("delivered", 1, 200, "127.0.0.1")
    assert (again.delivered, again.retrying) == (0, 0)


async def test_a_receiver_that_fails_is_tried_again_and_given_up(app: App) -> None:
    """Pauses grow; what is given up is listed, and can be sent once more."""
    async with Receiver([web.Response(status=500) for _ in range(10)]) as receiver:
        run = await app.ask(callback=Callback(url=receiver.url))
        states: list[str] = []
        for _ in range(10):
            record = await reported(app, run)
            assert record is not None
            states.append(record.state)
            app.clock.move(hours=1)
            await app.services.conversations.callbacks.deliver()
        given_up, after = await app.services.conversations.callback_records.list("default", 10)
        await app.services.conversations.callbacks.redeliver(run)
        done = await app.services.conversations.callbacks.deliver()

    assert states == ["retrying"] * 9 + ["failed"]
    assert ([each.run_id for each in given_up], given_up[0].error, after) == ([run.id], "http_500", None)
    assert (done.delivered, len(receiver.received)) == (1, 11)
    assert {each.headers["webhook-id"] for each in receiver.received} == {f"run_{run.id}_0"}


async def test_a_reply_goes_to_the_session_that_asks_for_it(app: App) -> None:
    """A queue gets the report as a message with SessionId and CorrelationId; by default those of the run."""
    broker = Broker(refuse=1)
    delivery = replying(app, broker)
    first = await app.ask(callback=Callback(queue="Agent-Replies"))
    second = await app.ask(callback=Callback(queue="other", session_id="till-4", correlation_id="order 7"))
    await app.services.conversations.callbacks.aclose()  # without a broker of its own it could not send them
    app.clock.move(minutes=3)
    assert (await delivery.deliver()).retrying == 1
    app.clock.move(minutes=3)
    await delivery.deliver()

    found = {queue: (reply.session_id, reply.correlation_id, reply.message_id) for queue, reply in broker.sent}
    assert found == {
        "agent-replies": (first.session_id, first.id, f"run_{first.id}_0"),
        "other": ("till-4", "order 7", f"run_{second.id}_0"),
    }


async def test_every_end_is_reported_once(app: App) -> None:
    """A run that failed and was put back ends twice, and the receiver can tell the two apart."""
    await app.declare("broken", spec(simulate={"fail_first": 5}))
    async with Receiver() as receiver:
        await app.submit(agent="broken", callback=Callback(url=receiver.url))
        message = app.queue.sent.pop()
        with pytest.raises(Unavailable):
            await app.process(message, last=True)
        await app.services.conversations.callbacks.aclose()
        letters = app.services.runs.dead_letters(app.queue)
        await letters.redrive("default", message.run_id)
        for _ in range(10):
            with contextlib.suppress(Unavailable):
                await app.process(app.queue.sent[-1])
        await app.services.conversations.callbacks.aclose()

    told = [(each.json()["type"], each.headers["webhook-id"][-2:]) for each in receiver.received]
    assert told == [("run.failed", "_0"), ("run.succeeded", "_1")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_report_survives_a_worker_dying_at_any_write(after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver gets it, at least once and under one id."""
    number = 0
    for number in itertools.count(1):
        app = App(**SETTINGS)
        await app.declare()
        async with Receiver() as receiver:
            accepted = await app.submit(callback=Callback(url=receiver.url))
            fate = Fate(number, after)
            dying = app.worker(fate)
            with contextlib.suppress(Crash):
                await app.process(app.queue.sent[-1], worker=dying)
            with contextlib.suppress(Crash):
                await dying.conversations.callbacks.aclose()
            await abandon(dying)
            app.clock.move(minutes=5)
            run = await app.process(app.queue.sent[-1])
            await app.services.conversations.callbacks.aclose()
            app.clock.move(minutes=5)
            await app.services.conversations.callbacks.deliver()
            app.clock.move(minutes=5)
            await app.services.conversations.callbacks.deliver()

        assert {each.headers["webhook-id"] for each in receiver.received} == {f"run_{accepted.run.id}_0"}, number
        assert {each.json()["data"]["answer"] for each in receiver.received} == {run.answer}
        await app.aclose()
        if not fate.struck:
            break
    assert number > 5


async def test_an_entry_ahead_of_its_run_is_looked_at_again(app: App) -> None:
    """What was entered for a commit that never came is dropped in the end, and reports nothing."""
    async with Receiver() as receiver:
        accepted = await app.submit(callback=Callback(url=receiver.url))
        run, _ = await app.stored(accepted.run)
        await RunEnds(app.tables).enter(ends_of(run_rules.cancelled(run, app.clock())))
        for _ in range(40):
            await app.services.conversations.callbacks.deliver()
            app.clock.move(hours=1)

        assert not receiver.received
        assert [each async for each in RunEnds(app.tables).due(app.clock.now.replace(year=2099))] == []


async def test_a_run_without_a_callback_pays_nothing() -> None:
    """No request goes to the table of callbacks, and nothing is made."""
    tables = CountingTables()
    app = App(tables)
    await app.declare()
    await app.ask()

    assert not [name for name in tables.operations if name.endswith(" callbacks")]
    assert "callbacks" not in vars(app.services)


async def test_what_a_callback_costs() -> None:
    """A write ahead of the run's end, then two reads and three writes to report it; the last read is this test's."""
    tables = CountingTables()
    app = App(tables, **SETTINGS)
    await app.declare()
    async with Receiver() as receiver:
        run = await app.ask(callback=Callback(url=receiver.url))
        await reported(app, run)

    found = Counter({name: n for name, n in tables.operations.items() if name.endswith(" callbacks")})
    assert found == Counter({"commit callbacks": 4, "get callbacks": 3})


@pytest.mark.parametrize(
    ("callback", "code"),
    [
        (Callback(), "invalid_callback"),
        (Callback(url="https://a.example", queue="other"), "invalid_callback"),
        (Callback(url="https://a.example", session_id="x"), "invalid_callback"),
        (Callback(queue="other", secret_setting="CALLBACK_SECRET_BILLING"), "invalid_callback"),
        (Callback(queue="other", session_id="a!b"), "invalid_session_id"),
        (Callback(queue="other", correlation_id="x" * 129), "invalid_callback"),
        (Callback(queue="agent-runs"), "reply_queue_not_allowed"),
        (Callback(url="http://192.0.2.1", secret_setting="OTHER_SECRET"), "callback_secret_unknown"),
        (Callback(url="http://192.0.2.1", secret_setting="CALLBACK_SECRET_BAD"), "callback_secret_unknown"),
        (Callback(url="http://192.0.2.1", secret_setting="CALLBACK_SECRET_NONE"), "callback_secret_unknown"),
        (Callback(url="ftp://a.example"), "invalid_webhook_url"),
    ],
)
async def test_a_callback_that_can_go_nowhere_is_refused(app: App, callback: Callback, code: str) -> None:
    """The error names the field, below `callback`, and repeats nothing of it."""
    with pytest.raises(InvalidInput) as raised:
        await app.services.notifications.targets.check(callback)

    assert raised.value.code == code.replace("invalid_session_id", "invalid_callback")
    assert all(place.startswith("/callback") for place in raised.value.fields)


async def test_private_addresses_are_refused() -> None:
    """As for any webhook; also when the name comes to lead there only later."""
    app = App()
    with pytest.raises(InvalidInput) as raised:
        await app.services.notifications.targets.check(Callback(url="https://169.254.169.254/metadata"))

    assert raised.value.code == "webhook_address_refused"
    assert list(raised.value.fields) == ["/callback/url"]


async def test_only_ended_runs_with_a_callback_are_sent_again(app: App) -> None:
    plain = await app.ask()
    waiting = await app.submit(callback=Callback(url="http://127.0.0.1:9/x"))

    with pytest.raises(NotFound):
        await app.services.conversations.callbacks.redeliver(plain)
    with pytest.raises(Conflict):
        await app.services.conversations.callbacks.redeliver(waiting.run)


async def test_a_long_answer_is_left_out_of_a_message(app: App) -> None:
    """A queue's message has a limit; the reply says that the answer is to be fetched."""
    run = await app.ask("x" * 3000)
    short = report_of(run, most_bytes=100)

    assert b'"answer_omitted":true' in short
    assert b'"answer_omitted":false' in report_of(run)


def test_a_request_says_the_same_with_and_without_the_new_field() -> None:
    """Requests of before stay the same requests; another callback is another request."""
    plain, url = RunRequest(query="Hi"), Callback(url="https://a.example")

    assert plain.digest("bot") == RunRequest(query="Hi", callback=None).digest("bot")
    assert plain.digest("bot") != RunRequest(query="Hi", callback=url).digest("bot")
    with pytest.raises(ValueError, match="uri"):
        RunRequest.model_validate({"query": "Hi", "callback": {"uri": "https://a.example"}})


def test_our_own_messages_carry_no_callback() -> None:
    """They name a stored run, and nothing else of it."""
    message = Submission(agent="bot", run_id="r", session_id="s")

    assert "callback" not in message.to_json()
