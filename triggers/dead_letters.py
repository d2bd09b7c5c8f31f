"""HTTP: dead letters."""

from __future__ import annotations

import re
from typing import Any

from bootstrap.services import Services
from kernel.errors import InvalidInput
from kernel.ids import parse_run_id
from lifecycle.runs.queue import RunQueue
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, index, page_token
from triggers.views.base import Page
from triggers.views.runs import DeadLetterView, RedrivenView

_KEY = re.compile(r"[0-9a-f]{12}![0-9a-f-]{36}")


class DeadLetterPage(Page[DeadLetterView]):
    """Failed runs in the order they were accepted, then messages in the order they came."""


def register(api: Api, services: Services, queue: RunQueue) -> None:
    """Add the endpoints of dead letters."""

    @api.handle(
        Endpoint(
            "GET",
            "dead-letters",
            "dead_letters_list",
            "List runs that failed for good and messages that the queue gave up on, and why.",
            returns=DeadLetterPage,
            query=PAGING,
        )
    )
    async def listing(call: Call) -> Reply:
        letters, after = await services.dead_letters(queue).list(call.workspace, call.limit(), call.cursor(_position))
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
        submission = await services.dead_letters(queue).redrive(call.workspace, _letter_id(call))
        view = RedrivenView(run_id=submission.run_id, session_id=submission.session_id, agent=submission.agent)
        return Reply(view, 202, {"Location": f"/api/runs/{view.run_id}"})

    @api.handle(
        Endpoint(
            "DELETE",
            "dead-letters/{id}",
            "dead_letters_discard",
            "Throw a dead letter away: a message is removed, a failed run stays as it is and is listed no more.",
            status=204,
            errors=(404,),
        )
    )
    async def discard(call: Call) -> Reply:
        await services.dead_letters(queue).discard(call.workspace, _letter_id(call), call.caller)
        return Reply(status=204)


def _letter_id(call: Call) -> str:
    text = call.route("id")
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return text
    try:
        return parse_run_id(text)
    except InvalidInput:
        msg = "A dead letter's id is a run's id or a number."
        raise InvalidInput(msg, code="invalid_dead_letter_id") from None


def _position(value: Any) -> str | int:
    if isinstance(value, str) and _KEY.fullmatch(value):
        return value
    return index(value)
