"""Handlers of retention, legal holds and exports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import azure.functions as func

from kernel.errors import InvalidInput, NotFound, TooLarge
from kernel.ids import newest_first_key, user_id
from lifecycle.retention.policy import LegalHold, parse_hold_scope
from lifecycle.sessions.transcript import transcript_of
from triggers.http.agents.handlers import agents_list
from triggers.http.alerts.handlers import alerts_list
from triggers.http.approvals.handlers import approval_policy_get, approval_rules_list, approvals_list
from triggers.http.batches.handlers import batches_list
from triggers.http.budgets.handlers import budgets_list
from triggers.http.channels.handlers import channels_list
from triggers.http.configuration.handlers import item_get, items_list, preferences_get
from triggers.http.costs.handlers import prices_list
from triggers.http.handler_call import Call, Reply, page_token
from triggers.http.pools.handlers import pools_list
from triggers.http.reports.handlers import reports_list
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
from triggers.http.routes.handlers import routes_list
from triggers.http.runs.handlers import runs_list
from triggers.http.schedules.handlers import schedules_list
from triggers.http.sessions.transcripts import as_view
from triggers.http.sessions.views import SessionView
from triggers.http.teams.handlers import teams_list
from triggers.http.workflows.handlers import workflows_list

_MOST_BYTES = 20_000_000
"""Most bytes of a page of transcripts; a Functions host responds with at most 100 MB."""
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
        return Reply(RetentionView(dry_run=True, sessions=verdicts, days=preview.days))
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
    return await _page(call, _SOURCES)


async def users_export(call: Call) -> Reply:
    user_id(call.route("user_id"))
    return await _page(call, _SOURCES_OF_USER)


Source = Callable[[Call, str | None], Awaitable[tuple[Sequence[Any], str | None]]]
"""Returns a page of one kind as JSON values, and the cursor of the next; None at the end."""


async def _page(call: Call, sources: Mapping[ExportKind, Source]) -> Reply:
    """Return a page of one kind of data; `next` leads through all kinds in turn."""
    kinds = list(sources)

    def position(value: Any) -> tuple[ExportKind, str | None]:
        kind, _, after = value.partition(" ")
        if kind not in kinds:
            raise InvalidInput(code="invalid_next")
        return kind, after or None

    kind, at = call.cursor(position) or (kinds[0], None)
    items, after = await sources[kind](call, at)
    while not items and after is None and kind != kinds[-1]:  # no page for a kind without data
        kind = kinds[kinds.index(kind) + 1]
        items, after = await sources[kind](call, None)
    token = f"{kind} {after}" if after is not None else None
    if token is None and kind != kinds[-1]:
        token = f"{kinds[kinds.index(kind) + 1]} "
    page = ExportPage(items=[ExportItemView(kind=kind, data=item) for item in items], next=page_token(token))
    return Reply(page, headers={"Cache-Control": "no-store"})


def _listed(handler: Callable[[Call], Awaitable[Reply]], path: str, **query: str) -> Source:
    """Return the source of a list endpoint's items."""

    async def pages(call: Call, after: str | None) -> tuple[Sequence[Any], str | None]:
        body: Any = (await handler(_asking(call, path, after, **query))).body
        return [item.model_dump(mode="json") for item in body.items], body.next

    return pages


def _single(handler: Callable[[Call], Awaitable[Reply]], path: str) -> Source:
    """Return the source of a single resource's endpoint."""

    async def page(call: Call, _: str | None) -> tuple[Sequence[Any], str | None]:
        body: Any = (await handler(_asking(call, path, None))).body
        return [body.model_dump(mode="json")], None

    return page


def _asking(call: Call, path: str, after: str | None, **query: str) -> Call:
    """Return a call of another endpoint by the same caller, at a position of its list."""
    given = {"limit": call.query("limit"), "next": after, **query}
    params = {name: value for name, value in given.items() if value is not None}
    route = call.request.route_params
    request = func.HttpRequest(
        "GET", call.request.url, headers=call.request.headers, params=params, route_params=route, body=b""
    )
    return replace(call, request=request, endpoint=replace(call.endpoint, path=path))


async def _approvals(call: Call, after: str | None) -> tuple[Sequence[Any], str | None]:
    """Return pending approvals, then closed ones."""
    state, _, position = (after or "pending").partition(" ")
    items, more = await _listed(approvals_list, "approvals", state=state)(call, position or None)
    if more is not None:
        return items, f"{state} {more}"
    return items, "closed" if state == "pending" else None


async def _preferences(call: Call, _: str | None) -> tuple[Sequence[Any], str | None]:
    """Return the user's preferences, if any."""
    try:
        return await _single(preferences_get, "users/{user_id}/preferences")(call, None)
    except NotFound:
        return [], None


async def _asked(call: Call, after: str | None) -> tuple[Sequence[Any], str | None]:
    """Return the runs that the user asked for, newest first, in any user's session."""
    return await _listed(runs_list, "runs", user=call.route("user_id"))(call, after)


async def _sessions(call: Call, after: str | None) -> tuple[Sequence[Any], str | None]:
    """Return transcripts of the workspace or its user, newest first, as many as fit a page.

    Of a session too large for one response, only its beginning is included.
    """
    of_user = call.route("user_id") if "user_id" in call.request.route_params else None
    directory, store = call.services.conversations.directory, call.services.conversations.store
    start = newest_first_key(after) if after is not None else None
    limit = min(call.limit(), _MOST_SESSIONS)
    entries, more = await directory.sessions(call.workspace, agent=None, user_id=of_user, limit=limit, after=start)
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


_SOURCES: Mapping[ExportKind, Source] = {
    "agent": _listed(agents_list, "agents"),
    "template": _listed(items_list, "templates"),
    "personality": _listed(items_list, "personalities"),
    "capability": _listed(items_list, "capabilities"),
    "overrides": _single(item_get, "overrides"),
    "workflow": _listed(workflows_list, "workflows"),
    "team": _listed(teams_list, "teams"),
    "pool": _listed(pools_list, "pools"),
    "route": _listed(routes_list, "routes"),
    "schedule": _listed(schedules_list, "schedules"),
    "batch": _listed(batches_list, "batches"),
    "budget": _listed(budgets_list, "budgets"),
    "price": _listed(prices_list, "prices"),
    "alert": _listed(alerts_list, "alerts"),
    "channel": _listed(channels_list, "channels"),
    "approval_policy": _single(approval_policy_get, "approval-policy"),
    "approval_rule": _listed(approval_rules_list, "approval-rules"),
    "approval": _approvals,
    "report": _listed(reports_list, "reports"),
    "retention_receipt": _listed(retention_receipts, "retention/receipts"),
    "retention_policy": _single(retention_get, "retention"),
    "hold": _listed(holds_list, "holds"),
    "session": _sessions,
}
_SOURCES_OF_USER: Mapping[ExportKind, Source] = {"preferences": _preferences, "session": _sessions, "run": _asked}
