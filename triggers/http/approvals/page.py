"""The page behind a notification's link: an approval, and a form that decides it."""

from __future__ import annotations

import json
from html import escape

from lifecycle.approvals.approval import Approval
from lifecycle.approvals.store import Record

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid;padding:.75rem}dt{font-weight:600}"
    "textarea{width:100%;box-sizing:border-box}button{font:inherit;padding:.5rem 1rem;margin:.75rem .75rem 0 0}"
)


def decision_page(record: Record) -> str:
    """Return the page of a pending approval."""
    return _page(
        f"{record.approval.place.agent} asks for a decision",
        f"""{_about(record)}
<form method="post">
<label for="reason">Reason (the agent sees it if you reject)</label>
<textarea id="reason" name="reason" rows="3" maxlength="2000"></textarea>
<button name="decision" value="approve">Approve</button>
<button name="decision" value="reject">Reject</button>
</form>""",
    )


def decided_page(record: Record) -> str:
    """Return the page of an approval that is no longer pending."""
    approval = record.approval
    decision = approval.decision
    decided = f"It was decided at {decision.at:%Y-%m-%d %H:%M} UTC." if decision else ""
    return _page(f"This is {approval.state.value}", f"<p>{decided}</p>\n{_about(record)}")


def _about(record: Record) -> str:
    approval = record.approval
    rows = [(name, value) for name, value in _facts(approval) if value]
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    asked = f"<h2>The user said</h2><pre>{escape(record.excerpt)}</pre>" if record.excerpt else ""
    arguments = f"<h2>Arguments</h2><pre>{escape(_indented(record.arguments))}</pre>" if record.arguments else ""
    return f"<dl>{facts}</dl>{arguments}{asked}"


def _facts(approval: Approval) -> list[tuple[str, str]]:
    until = f"{approval.due:%Y-%m-%d %H:%M} UTC" if approval.due and approval.open else ""
    return [
        ("Tool", approval.subject.tool or "go on beyond a share of its budget"),
        ("Agent", approval.place.agent),
        ("Demanded by", approval.subject.why),
        ("Spent so far", f"${approval.cost_micro_usd / 1_000_000:.4f}"),
        ("Decide by", until),
    ]


def _indented(arguments: str) -> str:
    return json.dumps(json.loads(arguments), indent=2, ensure_ascii=True)


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><main><h1>{escape(title)}</h1>
{body}
</main></body></html>
"""
