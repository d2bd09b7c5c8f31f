"""A support team for tests: an agent that takes everything, two that know more, and people."""

from __future__ import annotations

from typing import Any

from lifecycle.specs.team import Team

TRIAGE: dict[str, Any] = {
    "name": "triage",
    "agent": "triage",
    "role": "primary",
    "handoff_triggers": [
        {
            "name": "money",
            "condition": "keyword_detected",
            "parameters": {"keywords": ["refund", "invoice"]},
            "target_specialization": "billing",
            "priority": 80,
        },
        {
            "name": "human",
            "condition": "keyword_detected",
            "parameters": {"keywords": ["a person"]},
            "target": "people",
            "priority": 90,
        },
    ],
}
BILLING: dict[str, Any] = {
    "name": "billing",
    "agent": "billing",
    "specialization": "billing",
    "capabilities": ["payments"],
}
TECH: dict[str, Any] = {"name": "tech", "agent": "tech", "specialization": "tech", "capabilities": ["wifi"]}
PEOPLE: dict[str, Any] = {"name": "people", "people": ["ann@example.com", "bob@example.com"], "specialization": "human"}
MEMBERS = (TRIAGE, BILLING, TECH, PEOPLE)


def team(*members: dict[str, Any], **fields: Any) -> Team:
    """Return a team of these members, of all four unless given."""
    return Team.model_validate({"members": list(members or MEMBERS), **fields})


def changed(member: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a member with other fields."""
    return {**member, **fields}
