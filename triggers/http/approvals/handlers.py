"""Handlers of approvals."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

from kernel.errors import InvalidInput, NotFound
from kernel.ids import agent_name, parse_run_id
from lifecycle.approvals.approval import MAX_REASON
from lifecycle.approvals.decisions import DecisionRequest
from triggers.http.approvals.page import decided_page, decision_page
from triggers.http.approvals.views import ApprovalPage, ApprovalView, DecisionBody, StandingPage, StandingView
from triggers.http.handler_call import Call, Reply, page_token

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9a-f]{16}")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_STATES = ("pending", "closed", "approved", "rejected", "expired", "withdrawn")
_MAX_FORM_BYTES = 16_384
_PAGE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


def approval_id(text: Any) -> str:
    """Return the id if it has the format of an approval id.

    Raises:
        NotFound: It has not.
    """
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise NotFound("There is no such approval.", code="approval_not_found")
    return text


def _position(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        msg = "no position"
        raise ValueError(msg)
    return value


async def approvals_list(call: Call) -> Reply:
    state, agent, run = call.query("state") or "pending", call.query("agent"), call.query("run")
    if state not in _STATES:
        rule = f"one of {', '.join(_STATES)}"
        raise InvalidInput(f"'state' is {rule}.", code="invalid_state", fields={"state": rule})
    where = {} if state in ("pending", "closed") else {"state": state}
    if agent is not None:
        where["agent"] = agent_name(agent)
    if run is not None:
        where["run"] = parse_run_id(run)
    found, after = await call.services.approvals.store.list(
        call.workspace, call.limit(), call.cursor(_position), pending=state == "pending", where=where
    )
    person = call.person
    items = [ApprovalView.of_record(record, person) for record in found]
    return Reply(ApprovalPage(items=items, next=page_token(after)), headers={"Cache-Control": "no-store"})


async def approvals_get(call: Call) -> Reply:
    record = await call.services.approvals.store.get(call.workspace, approval_id(call.route("id")))
    return Reply(ApprovalView.of_record(record, call.person), headers={"Cache-Control": "no-store"})


async def approvals_decide(call: Call) -> Reply:
    body: DecisionBody = call.body
    person = call.person
    record = await call.services.approvals.decisions.decide(
        call.workspace, approval_id(call.route("id")), person, body.ruling(), call.queue.send
    )
    return Reply(ApprovalView.of_record(record, person))


async def approval_policy_get(call: Call) -> Reply:
    policy, etag = await call.services.approvals.policies.get(call.workspace)
    return Reply(policy, headers={"ETag": etag} if etag else {})


async def approval_policy_put(call: Call) -> Reply:
    etag = await call.services.approvals.policies.put(call.workspace, call.body, call.header("if-match"))
    return Reply(call.body, headers={"ETag": etag})


async def approval_rules_list(call: Call) -> Reply:
    found = await call.services.approvals.policies.all_standing(call.workspace)
    return Reply(StandingPage(items=[StandingView.of_standing(each) for each in found], next=None))


async def approval_rules_delete(call: Call) -> Reply:
    digest = call.route("id")
    if not _DIGEST.fullmatch(digest):
        raise NotFound("There is no such standing rule.", code="standing_rule_not_found")
    await call.services.approvals.policies.revoke(call.workspace, agent_name(call.route("agent")), digest)
    return Reply(status=204)


async def approval_links_show(call: Call) -> Reply:
    record, _ = await call.services.approvals.links.find(call.route("token"))
    page = decision_page(record) if record.approval.open else decided_page(record)
    return Reply(page, headers=_PAGE, mimetype="text/html")


async def approval_links_decide(call: Call) -> Reply:
    verb, reason = _form(call.request.get_body() or b"")
    ruling = DecisionRequest(verb, reason)
    decided = await call.services.approvals.links.decide(call.route("token"), ruling, call.queue.send)
    return Reply(decided_page(decided), headers=_PAGE, mimetype="text/html")


def _form(body: bytes) -> tuple[Any, str]:
    """Return the decision and the reason of a form."""
    try:
        fields = parse_qs(body.decode("utf-8"), max_num_fields=5) if len(body) <= _MAX_FORM_BYTES else {}
    except ValueError:
        fields = {}
    verb, reason = fields.get("decision", [""])[0], fields.get("reason", [""])[0]
    if verb not in ("approve", "reject") or len(reason) > MAX_REASON:
        msg = "The form's 'decision' is 'approve' or 'reject'; its 'reason' has at most 2,000 characters."
        raise InvalidInput(msg, code="invalid_decision", fields={"decision": "approve or reject"})
    return verb, reason
