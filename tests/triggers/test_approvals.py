"""Approvals over HTTP: who sees and decides them, and what a link does."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest

from kernel.ids import new_id
from kernel.settings import Settings
from kernel.tables import Span, Upsert, every
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import RunRequest
from llmops.notifications.notification import NOTIFICATION
from tests.lifecycle.approvals.kit import asking
from tests.lifecycle.doubles import MemoryQueue
from tests.triggers.conftest import Edge, request
from triggers.http import approvals

URL = "https://app.example.com/api"


def principal(user: str, *roles: str, workspace: str = "acme") -> dict[str, str]:
    """Return the headers that App Service authentication adds for somebody who is signed in."""
    claims = [{"typ": "tid", "val": workspace}, {"typ": "preferred_username", "val": user}]
    claims += [{"typ": "roles", "val": role} for role in roles]
    text = base64.b64encode(json.dumps({"claims": claims}).encode()).decode()
    return {"X-MS-CLIENT-PRINCIPAL": text, "X-MS-CLIENT-PRINCIPAL-NAME": user}


ANN, BOB = principal("ann@example.com", "finance"), principal("bob@example.com")


class Office:
    """The endpoints of approvals, and an agent whose runs wait."""

    def __init__(self, mode: str = "entra") -> None:
        self.queue = MemoryQueue()
        settings = Settings.of({"auth_mode": mode, "approval_links": True, "public_url": URL})
        self.edge = Edge(approvals, settings=settings, queue=self.queue)
        self.services = self.edge.services
        self.workspace = "acme" if mode == "entra" else "default"

    async def waiting(self, query: str = "2 + 3", **rule: Any) -> Run:
        """Return a run that waits."""
        services, signals = self.services, self.edge.signals
        await services.agents.administration.declare(self.workspace, "bot", asking(**rule), signals)
        asked = RunRequest(query=query, user_id="bob@example.com")
        await services.runs.submission.submit(self.workspace, "bot", asked, new_id(), signals, self.queue.send)
        run = await services.runs.worker.process(self.queue.sent[-1], signals)
        assert run is not None
        assert run.state is RunState.WAITING
        return run

    async def get(self, ident: str, who: dict[str, str] = ANN) -> func.HttpResponse:
        return await self.edge("approvals_get", request(method="GET", headers=who, route={"id": ident}))

    async def list(self, who: dict[str, str] = ANN, **params: str) -> dict[str, Any]:
        answer = await self.edge("approvals_list", request(method="GET", headers=who, params=params))
        return json.loads(answer.get_body())

    async def decide(self, ident: str, who: dict[str, str] = ANN, **body: Any) -> func.HttpResponse:
        return await self.edge("approvals_decide", request(body, headers=who, route={"id": ident}))

    async def link(self, token: str, form: str | None = None) -> func.HttpResponse:
        method, body = ("GET", b"") if form is None else ("POST", form.encode())
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        asked = request(body, method=method, headers=kind, route={"token": token})
        return await self.edge("approval_links_item", asked)

    async def token(self, run: Run) -> str:
        """Return a token as a channel is sent one."""
        record = await self.services.approvals.store.get(self.workspace, run.dispatch.awaits[0])
        return await self.services.approvals.links.issue(record.approval)

    async def state(self, run: Run) -> str:
        return (await self.services.approvals.store.get(self.workspace, run.dispatch.awaits[0])).approval.state.value


def code(response: func.HttpResponse) -> tuple[int, str]:
    return response.status_code, json.loads(response.get_body())["code"]


async def test_what_waits_is_listed_with_all_that_a_decision_takes() -> None:
    office = Office()
    run = await office.waiting(expires_s=600)
    (item,) = (await office.list(agent="bot", run=run.id))["items"]
    one = json.loads((await office.get(item["id"])).get_body())

    assert item == one
    assert (one["tool"], one["arguments"], one["state"]) == ("calculator", {"expression": "2 + 3"}, "pending")
    assert (one["run_id"], one["session_id"], one["user_id"]) == (run.id, run.session_id, "bob@example.com")
    assert (one["excerpt"], one["why"], one["approvers"]) == ("2 + 3", "the agent's spec", [])
    assert one["version"]
    assert one["expires_at"]


async def test_a_list_is_paged_and_filtered_by_state() -> None:
    office = Office()
    runs = [await office.waiting(f"{n} + 1") for n in range(3)]
    await office.decide(runs[1].dispatch.awaits[0], decision="reject", reason="no")
    first = await office.list(limit="1")
    second = await office.list(limit="1", next=first["next"])
    rejected = await office.list(state="rejected")

    assert [page["items"][0]["run_id"] for page in (first, second)] == [runs[0].id, runs[2].id]
    assert second["next"] is None
    assert [item["decision"]["reason"] for item in rejected["items"]] == ["no"]
    assert (await office.list(state="approved"))["items"] == []


async def test_the_same_decision_again_is_the_record_and_another_a_conflict() -> None:
    office = Office()
    (ident,) = (await office.waiting()).dispatch.awaits
    assert json.loads((await office.get(ident)).get_body())["may_decide"] is True
    answers = [await office.decide(ident, decision="approve") for _ in range(2)]
    assert json.loads((await office.get(ident)).get_body())["may_decide"] is False
    other = await office.decide(ident, decision="reject")

    assert [json.loads(each.get_body())["decision"]["by"] for each in answers] == ["ann@example.com"] * 2
    assert code(other) == (409, "approval_decided")


@pytest.mark.parametrize(
    ("rule", "who", "expected"),
    [
        ({"approvers": [["role:finance"]]}, BOB, "approver_not_allowed"),
        ({"approvers": [["user:ann@example.com"]]}, BOB, "approver_not_allowed"),
        ({"approvers": [["group:g1"]]}, ANN, "approver_not_allowed"),
        ({"not_requester": True}, BOB, "approver_is_requester"),
    ],
)
async def test_who_may_not_decide_is_told_so_and_decides_nothing(
    rule: dict[str, Any], who: dict[str, str], expected: str
) -> None:
    office = Office()
    run = await office.waiting(**rule)

    (ident,) = run.dispatch.awaits

    assert json.loads((await office.get(ident, who)).get_body())["may_decide"] is False
    assert code(await office.decide(ident, who, decision="approve")) == (403, expected)
    assert await office.state(run) == "pending"


async def test_a_function_key_names_nobody() -> None:
    """What a caller says of itself without the platform's sign-in grants nothing."""
    office = Office("keys")
    run = await office.waiting(approvers=[["user:ann@example.com"]])

    assert code(await office.decide(run.dispatch.awaits[0], decision="approve")) == (403, "approver_not_allowed")


async def test_another_workspace_s_approval_is_not_found() -> None:
    office = Office()
    (ident,) = (await office.waiting()).dispatch.awaits
    mallory = principal("mallory@example.com", workspace="other")

    assert code(await office.get(ident, mallory)) == (404, "approval_not_found")
    assert code(await office.decide(ident, mallory, decision="approve")) == (404, "approval_not_found")
    assert (await office.list(mallory))["items"] == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"decision": "maybe"}, "invalid_input"),
        ({"decision": "amend"}, "invalid_arguments"),
        ({"decision": "approve", "arguments": {}}, "invalid_arguments"),
        ({"decision": "approve", "reason": "x" * 2001}, "invalid_input"),
        ({"decision": "reject", "always": "call"}, "nothing_to_repeat"),
        ({"decision": "amend", "arguments": {"expression": "1" * 300 * 1024}}, "arguments_too_large"),
    ],
)
async def test_a_decision_that_makes_no_sense_changes_nothing(body: dict[str, Any], expected: str) -> None:
    office = Office()
    run = await office.waiting()

    assert code(await office.decide(run.dispatch.awaits[0], **body)) == (400, expected)
    assert await office.state(run) == "pending"


@pytest.mark.parametrize("ident", ["x", "../x", "a!b", "0" * 300])
async def test_an_id_that_is_none_is_not_found(ident: str) -> None:
    assert code(await Office().get(ident)) == (404, "approval_not_found")


async def test_a_link_shows_first_and_decides_once_and_on_post_only() -> None:
    """Whatever previews links gets a page, and decides nothing."""
    office = Office()
    run = await office.waiting("1 + 1 <script>alert(1)</script>")
    token, second = await office.token(run), await office.token(run)
    shown = await office.link(token)
    state = await office.state(run)
    done = await office.link(token, "decision=reject&reason=no")
    replayed = [await office.link(token, form) for form in ("decision=approve", "decision=reject&reason=no", None)]
    other = await office.link(second, "decision=approve")
    record = await office.services.approvals.store.get("acme", run.dispatch.awaits[0])

    assert (shown.status_code, shown.mimetype, state) == (200, "text/html", "pending")
    assert b"<script>alert" not in shown.get_body()
    assert shown.headers["Referrer-Policy"] == "no-referrer"
    assert (done.status_code, record.approval.state.value) == (200, "rejected")
    assert record.approval.decision
    assert (record.approval.decision.by, record.approval.decision.reason) == ("link", "no")
    assert [code(each) for each in replayed] == [(409, "link_used")] * 3
    assert code(other) == (409, "approval_decided")


async def test_a_link_that_is_forged_expired_or_of_an_earlier_level_decides_nothing() -> None:
    """Nor one of another approval, or another workspace's: a secret is good for what it was made for."""
    office = Office()
    run = await office.waiting(expires_s=3600, on_expiry="escalate", approvers=[["link"], ["link", "role:finance"]])
    other = await office.waiting(expires_s=3600)
    token, elsewhere = await office.token(run), await office.token(other)
    place, _, secret = token.partition(".")
    evil = base64.urlsafe_b64encode(base64.urlsafe_b64decode(place + "==").replace(b"acme", b"evil")).decode()
    forged = [f"{place}.{secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}", f"{elsewhere.partition('.')[0]}.{secret}"]
    for wrong in (*forged, f"{evil.rstrip('=')}.{secret}", "x", f"{place}.", place, f"{'é' * 9}.x", f".{secret}"):
        assert code(await office.link(wrong, "decision=approve")) == (404, "link_not_found")
        assert code(await office.link(wrong)) == (404, "link_not_found")
    record = await office.services.approvals.store.get("acme", run.dispatch.awaits[0])
    now, links = office.services.core.clock(), office.services.approvals.links
    expired = await links.issue(replace(record.approval, due=now - timedelta(seconds=1)))
    for late in (expired, await links.issue(replace(record.approval, level=1))):
        assert code(await office.link(late)) == (409, "link_expired")
        assert code(await office.link(late, "decision=approve")) == (409, "link_expired")
    forgotten = await links.sweep()

    assert forgotten == 1
    assert code(await office.link(expired)) == (404, "link_not_found")
    assert (await office.link(token)).status_code == 200
    assert await office.state(run) == await office.state(other) == "pending"


async def test_a_link_that_cannot_be_read_keeps_no_other_from_being_deleted() -> None:
    """It stays itself: a later version of the app may have written it."""
    office = Office()
    run = await office.waiting()
    record = await office.services.approvals.store.get("acme", run.dispatch.awaits[0])
    links, tables = office.services.approvals.links, office.services.core.tables
    past = replace(record.approval, due=office.services.core.clock() - timedelta(seconds=1))
    await links.issue(past)
    await links.issue(past)
    first, _ = [row async for row in every(tables, "approvals", Span.prefix("acme", "link!"))]
    await tables.commit("approvals", [Upsert(replace(first, values={"link": "{"}))])

    assert await links.sweep() == 1
    assert [row.key async for row in every(tables, "approvals", Span.prefix("acme", "link!"))] == [first.key]


async def test_a_link_decides_only_what_links_may_decide() -> None:
    office = Office()
    run = await office.waiting(approvers=[["role:finance"]])

    assert code(await office.link(await office.token(run), "decision=approve")) == (403, "approver_not_allowed")


@pytest.mark.parametrize(
    "form", ["", "decision=amend", "decision=approve&reason=" + "x" * 2001, "%ff=%ff", "x" * 20_000]
)
async def test_a_form_that_is_none_decides_nothing(form: str) -> None:
    office = Office()
    run = await office.waiting()

    assert code(await office.link(await office.token(run), form)) == (400, "invalid_decision")
    assert await office.state(run) == "pending"


async def test_the_policy_is_kept_by_etag_and_refuses_conditions_that_are_none() -> None:
    office = Office()
    rule = {"tools": ["refund*"], "when": "amount > 100"}
    put = await office.edge("approval_policy", request({"rules": [rule]}, method="PUT", headers=ANN))
    read = await office.edge("approval_policy", request(method="GET", headers=ANN))
    late = await office.edge("approval_policy", request({}, method="PUT", headers=ANN | {"If-Match": "old"}))
    bad = await office.edge(
        "approval_policy", request({"rules": [rule | {"when": "amount >"}]}, method="PUT", headers=ANN)
    )

    assert put.status_code == read.status_code == 200
    assert json.loads(read.get_body())["rules"][0]["when"] == "amount > 100"
    assert put.headers["ETag"] == read.headers["ETag"]
    assert code(late) == (412, "etag_mismatch")
    assert code(bad)[0] == 400


async def test_a_channel_is_sent_the_link_and_only_its_hash_is_stored() -> None:
    """The notification that waits to be sent holds neither the link nor the arguments; each try has its own link."""
    office = Office()
    run = await office.waiting()
    tables: Any = office.services.core.tables
    stored = [row async for row in every(tables, "outbox", Span("outbox"))]
    (note,) = [row.text("notification") for row in stored if row.key.startswith("note!")]
    sent = await office.services.approvals.links.completed(NOTIFICATION.load(note))
    link = sent.facts["Decide"]
    again = (await office.services.approvals.links.completed(NOTIFICATION.load(note))).facts["Decide"]
    shown = await office.link(link.rpartition("/")[2])
    secret = link.rpartition(".")[2]
    rows = [row async for row in every(tables, "approvals", Span("acme"))]
    known = [row.key for row in rows if row.key.startswith("link!")]

    assert link != again
    assert len(known) == 2
    assert any(key.endswith(hashlib.sha256(secret.encode()).hexdigest()) for key in known)
    assert not any(secret in f"{row.key}{row.values}" for row in rows)
    assert link.startswith(f"{URL}/approval-links/")
    assert shown.status_code == 200
    assert "approval-links" not in note
    assert "2 + 3" not in note
    assert sent.facts["Run"] == run.id


async def test_no_link_is_sent_where_none_may_decide() -> None:
    office = Office()
    await office.waiting(not_requester=True)
    tables: Any = office.services.core.tables
    rows = [row async for row in every(tables, "outbox", Span("outbox"))]
    (note,) = [row.text("notification") for row in rows if row.key.startswith("note!")]

    assert "Decide" not in (await office.services.approvals.links.completed(NOTIFICATION.load(note))).facts
