"""HTTP: dead letters."""

from __future__ import annotations

from bootstrap.services import Services
from kernel.errors import InvalidInput
from lifecycle.runs.queue import RunQueue
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, index, page_token
from triggers.views.base import Page
from triggers.views.runs import DeadLetterView, RedrivenView


class DeadLetterPage(Page[DeadLetterView]):
    """Dead letters by id: those of each queue in the order they came."""


def register(api: Api, services: Services, queue: RunQueue) -> None:
    """Add the endpoints of dead letters."""

    @api.handle(
        Endpoint(
            "GET",
            "dead-letters",
            "dead_letters_list",
            "List messages that the queue gave up on, and why.",
            returns=DeadLetterPage,
            query=PAGING,
        )
    )
    async def listing(call: Call) -> Reply:
        letters, after = await services.dead_letters(queue).list(call.workspace, call.limit(), call.cursor(index) or 0)
        items = [DeadLetterView.of(letter) for letter in letters]
        return Reply(DeadLetterPage(items=items, next=page_token(after)))

    @api.handle(
        Endpoint(
            "POST",
            "dead-letters/{id}/redrive",
            "dead_letters_redrive",
            "Put a dead letter's run back on the queue.",
            returns=RedrivenView,
            status=202,
            errors=(404, 409),
        )
    )
    async def redrive(call: Call) -> Reply:
        text = call.route("id")
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise InvalidInput("A dead letter's id is a number.", code="invalid_dead_letter_id")
        submission = await services.dead_letters(queue).redrive(call.workspace, int(text))
        view = RedrivenView(run_id=submission.run_id, session_id=submission.session_id, agent=submission.agent)
        return Reply(view, 202, {"Location": f"/api/runs/{view.run_id}"})
