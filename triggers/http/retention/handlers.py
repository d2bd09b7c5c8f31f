"""Handlers of retention, legal holds and exports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import azure.functions as func

from kernel.errors import InvalidInput, TooLarge
from kernel.ids import newest_first_key
from lifecycle.retention.policy import LegalHold, parse_hold_scope
from lifecycle.sessions.transcript import transcript_of
from triggers.http.agents.handlers import agents_list
from triggers.http.alerts.handlers import alerts_list
from triggers.http.approvals.handlers import approval_policy_get
from triggers.http.budgets.handlers import budgets_list
from triggers.http.call import Call, Reply, page_token
from triggers.http.channels.handlers import channels_list
from triggers.http.configuration.handlers import item_get, items_list
from triggers.http.costs.handlers import prices_list
from triggers.http.retention.views import (
    ExportItemView,
    ExportKind,
    ExportPage,
    HoldBody,
    HoldPage,
    HoldView,
    RetentionReceiptPage,
    RetentionReceiptView,
    RetentionVerdictView,
    RetentionView,
)
from triggers.http.sessions.transcripts import as_view
from triggers.http.sessions.views import SessionView

_MOST_BYTES = 20_000_000
"""Of a page of transcripts; a Functions host answers with at most 100 MB."""
_MOST_SESSIONS = 20


async def retention_get(call: Call) -> Reply:
    policy, etag = await call.services.sessions.retention.policy(call.workspace)
    return Reply(policy, headers={"ETag": etag} if etag else {})


async def retention_put(call: Call) -> Reply:
    etag = await call.services.sessions.retention.put_policy(call.workspace, call.body, call.header("if-match"))
    return Reply(call.body, headers={"ETag": etag})


async def retention_apply(call: Call) -> Reply:
    rounds = call.services.sessions.retention_rounds
    if call.flag("dry_run", default=True):
        preview = await rounds.preview(call.workspace)
        verdicts = [RetentionVerdictView.of(verdict) for verdict in preview.verdicts]
        return Reply(RetentionView(dry_run=True, sessions=verdicts, fact_days=list(preview.fact_days)))
    receipt = await rounds.apply(call.workspace)
    return Reply(RetentionView(dry_run=False, receipt=RetentionReceiptView.of(receipt)))


async def retention_receipts(call: Call) -> Reply:
    found, after = await call.services.sessions.retention.receipts(
        call.workspace, call.limit(), call.cursor(newest_first_key)
    )
    items = [RetentionReceiptView.of(receipt) for receipt in found]
    return Reply(RetentionReceiptPage(items=items, next=page_token(after)))


async def holds_list(call: Call) -> Reply:
    found = await call.services.sessions.retention.readable_holds(call.workspace)
    return Reply(HoldPage(items=[HoldView.of_hold(hold) for hold in found], next=None))


async def holds_put(call: Call) -> Reply:
    body: HoldBody = call.body
    scope = parse_hold_scope(call.route("scope"))
    hold = LegalHold(scope, body.reason, call.services.core.clock(), call.caller or None)
    placed, new = await call.services.sessions.retention.place(call.workspace, hold)
    return Reply(HoldView.of_hold(placed), 201 if new else 200)


async def holds_delete(call: Call) -> Reply:
    scope = parse_hold_scope(call.route("scope"))
    await call.services.sessions.retention.release(call.workspace, scope, call.caller or None)
    return Reply(status=204)


async def export(call: Call) -> Reply:
    kind, position = call.cursor(_position) or (_KINDS[0], None)
    items, after = await _SOURCES[kind](call, position)
    if after is None:
        following = _KINDS.index(kind) + 1
        token = f"{_KINDS[following]} " if following < len(_KINDS) else None
    else:
        token = f"{kind} {after}"
    page = ExportPage(items=[ExportItemView(kind=kind, data=item) for item in items], next=page_token(token))
    return Reply(page, headers={"Cache-Control": "no-store"})


_KINDS: tuple[ExportKind, ...] = get_args(ExportKind)
Source = Callable[[Call, str | None], Awaitable[tuple[Sequence[Any], str | None]]]
"""Returns some things of a kind as JSON values, and where to continue; None at the end."""


def _position(value: Any) -> tuple[ExportKind, str | None]:
    kind, _, after = value.partition(" ")
    if kind not in _KINDS:
        raise InvalidInput(code="invalid_next")
    return kind, after or None


def _listed(handler: Callable[[Call], Awaitable[Reply]], path: str) -> Source:
    """Return the source of what a list's own endpoint answers."""

    async def pages(call: Call, after: str | None) -> tuple[Sequence[Any], str | None]:
        body: Any = (await handler(_asking(call, path, after))).body
        return [item.model_dump(mode="json") for item in body.items], body.next

    return pages


def _single(handler: Callable[[Call], Awaitable[Reply]], path: str) -> Source:
    """Return the source of the one thing that an endpoint answers."""

    async def page(call: Call, _: str | None) -> tuple[Sequence[Any], str | None]:
        body: Any = (await handler(_asking(call, path, None))).body
        return [body.model_dump(mode="json")], None

    return page


def _asking(call: Call, path: str, after: str | None) -> Call:
    """Return the call of another endpoint of the same caller's, at a position of its list."""
    given = {"limit": call.query("limit"), "next": after}
    params = {name: value for name, value in given.items() if value is not None}
    request = func.HttpRequest("GET", call.request.url, headers=call.request.headers, params=params, body=b"")
    return replace(call, request=request, endpoint=replace(call.endpoint, path=path))


async def _sessions(call: Call, after: str | None) -> tuple[Sequence[Any], str | None]:
    """Return transcripts, newest first, as many as fit; of a session that is too large for one answer, its head."""
    directory, store = call.services.conversations.directory, call.services.conversations.store
    start = newest_first_key(after) if after is not None else None
    limit = min(call.limit(), _MOST_SESSIONS)
    entries, more = await directory.sessions(call.workspace, agent=None, user_id=None, limit=limit, after=start)
    items: list[Any] = []
    size = 0
    for entry in entries:
        session = (await store.load(call.workspace, entry.session_id)).session
        if session is None or session.receipt is not None or not entry.is_of(session):
            continue
        try:
            whole = as_view(await transcript_of(store, session))
        except TooLarge:
            items.append({"session": SessionView.of(session).model_dump(mode="json"), "too_large": True})
            continue
        items.append(whole.model_dump(mode="json"))
        size += len(whole.model_dump_json())
        if size > _MOST_BYTES:
            return items, None if entry is entries[-1] and more is None else entry.key
    return items, more


_SOURCES: dict[ExportKind, Source] = {
    "agent": _listed(agents_list, "agents"),
    "template": _listed(items_list, "templates"),
    "personality": _listed(items_list, "personalities"),
    "capability": _listed(items_list, "capabilities"),
    "overrides": _single(item_get, "overrides"),
    "budget": _listed(budgets_list, "budgets"),
    "price": _listed(prices_list, "prices"),
    "alert": _listed(alerts_list, "alerts"),
    "channel": _listed(channels_list, "channels"),
    "approval_policy": _single(approval_policy_get, "approval-policy"),
    "retention_policy": _single(retention_get, "retention"),
    "hold": _listed(holds_list, "holds"),
    "session": _sessions,
}
