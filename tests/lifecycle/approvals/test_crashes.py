"""Every way a worker can die from the model's asking over the decision to the call: it is decided and made once."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from kernel.errors import AppError
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.conversations.run import Run, RunState
from tests.lifecycle.app import abandon
from tests.lifecycle.approvals.kit import ANN, APPROVE, PayingApp, drained, records, told
from tests.lifecycle.doubles import Crash, Fate, spec

PAYING = spec(
    tools=("pay",), simulate={"call_tool": "pay"}, approvals=[{"tools": ["pay"], "approvers": [["role:finance"]]}]
)


async def decided(app: PayingApp, run: Run, ruling: DecisionRequest) -> None:
    """Decide whatever of the run waits, as often as that is asked for."""
    for record in await records(app, run):
        with contextlib.suppress(AppError):
            await app.services.approvals.decisions.decide("default", record.approval.id, ANN, ruling, app.queue.send)


@pytest.mark.parametrize("ruling", [APPROVE, DecisionRequest("reject", "no")], ids=["approved", "rejected"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_it_is_decided_and_made_once_wherever_a_worker_dies(ruling: DecisionRequest, *, after: bool) -> None:
    """But between the call and the note of its result: it is then made again with the same key, and told so."""
    doubtful = number = 0
    for number in itertools.count(1):
        app = PayingApp()
        await app.declare(declared=PAYING)
        run = (await app.submit("ann")).run
        fate = Fate(number, after=after)
        worker = app.worker(fate)
        with contextlib.suppress(Crash):
            await app.process(app.queue.sent[-1], worker=worker)
            for record in await records(app, run):
                await worker.approvals.decisions.decide("default", record.approval.id, ANN, ruling, app.queue.send)
            await app.process(app.queue.sent[-1], worker=worker)
        await abandon(worker)

        for _ in range(4):  # the lease runs out, the timer looks, messages come again, the caller repeats the call
            app.clock.move(seconds=61)
            await app.services.approvals.decisions.sweep(app.queue.send)
            await app.services.conversations.pause.finish(app.queue.send)
            await decided(app, run, ruling)
            await drained(app, run)
        done, session = await app.stored(run)
        (record,) = await records(app, run)
        execution = record.approval.execution

        assert done.state is RunState.SUCCEEDED, number
        assert session.pending == 0, number
        assert await told(app, run) == ["approval.requested", "approval.decided"], number
        assert len(set(app.payments)) == (0 if ruling.verb == "reject" else 1), number
        if ruling.verb == "reject":
            assert execution is None, number
        else:
            assert execution is not None, number
            assert len(app.payments) <= execution.times <= 2, number
            doubtful += len(app.payments) == 2
            assert app.repeats == [False, True] if len(app.payments) == 2 else app.repeats == [execution.times == 2]
        await app.aclose()
        if not fate.struck:
            break
    assert number > 8
    assert doubtful <= 2, "dying after the payment, or before the note of it"
