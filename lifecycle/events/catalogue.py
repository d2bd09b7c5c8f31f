"""Catalogue of all events: name, when it happens, and its data. docs/events.md shows this table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of event.

    Attributes:
        says: When it happens.
        data: Its data by field; `at`, when it happened, is in every event.
        everywhere: Whether it is in the workspace's stream too, not only in its session's.
    """

    says: str
    data: Mapping[str, str] = field(default_factory=dict[str, str])
    everywhere: bool = True


_RUN = {"run_id": "the run"}
_ATTEMPT = _RUN | {"attempt": "number of the attempt"}
_APPROVAL = _RUN | {"approval_id": "the approval", "tool": "the tool; empty where a budget's step asks"}
_PERSON = {"by": "the person"}
_HANDOFF = {
    "team": "the team",
    "source": "the member that has it",
    "target": "the member that takes it over",
    "by": "who or what has it change hands",
    "run_id": "the run that goes on, if one does",
}
_CODE = {"code": "stable code of the failure, where there is one"}
_AGENT = {"agent": "the agent"}
_VERSION = _AGENT | {"version": "the version's label at the provider"}
_FAILED = _VERSION | {"why": "stable code of the failure"}
_WORKFLOW = {"workflow_run_id": "the workflow run", "workflow": "the workflow"}
_STEP = _WORKFLOW | {"step": "the step"}
_CAME_TO = {
    "cost_micro_usd": "what it cost, in micro-USD",
    "score": "how good its answers look, 0-100, if that is known",
}
_RESOURCE = {
    "what": "worker:ID or pool:NAME",
    "limit": "memory, cpu, or the pool's limit",
    "used_share": "the used share, 0-1",
    "level": "warning or critical",
}
_DEPLOYMENT = {"route": "the route", "deployment": "its deployment"}
_ALERT = {
    "id": "the firing",
    "alert": "the rule",
    "agent": "the agent it is about; null for all",
    "metric": "what is measured",
    "condition": "how it is compared",
    "threshold": "with what",
    "severity": "how bad it is",
    "value": "what was measured",
}


def _agent(says: str, data: Mapping[str, str] = _VERSION) -> Kind:
    return Kind(says, dict(data) | {"why": "the reason, where there is one"} if data is not _FAILED else data)


CATALOGUE: Mapping[str, Kind] = MappingProxyType(
    {
        "session.state_changed": Kind(
            "A session is started, active, paused, waiting or ended",
            {"state": "the new state", "reason": "why, where there is a reason"},
        ),
        "session.unpinned": Kind("A session goes on with the agent as it is now"),
        "hold.placed": Kind(
            "A legal hold was placed", {"on": "workspace, agent, user or session", "by": "who placed it"}
        ),
        "hold.released": Kind("A legal hold ended", {"on": "workspace, agent, user or session", "by": "who ended it"}),
        "session.erased": Kind(
            "A session was erased; its own stream is gone",
            {"session_id": "its id", "agent": "whom it was with", "state": "what it was before: open or ended"},
        ),
        "dead_letter.discarded": Kind(
            "A dead letter was thrown away",
            {"id": "the failed run's id, or the message's number", "code": "why it was there", "by": "who did it"},
        ),
        "user.erased": Kind(
            "A user was erased", {"sessions": "sessions erased with it", "runs": "runs that no longer name the user"}
        ),
        "run.queued": Kind(
            "A run was accepted, or put back on the queue", _RUN | {"redriven": "how often it was redriven, if it was"}
        ),
        "run.waiting": Kind(
            "A run is kept until its session goes on",
            _RUN | {"reason": "what it waits for", "held": "true where its session keeps it, not a reason of its own"},
        ),
        "run.stage": Kind("A run has come to another stage", _ATTEMPT | {"stage": "the stage"} | _CODE),
        "run.retrying": Kind("An attempt failed and the run is queued for another", _ATTEMPT | _CODE),
        "run.cancel_requested": Kind("A running run is to be cancelled", _RUN),
        "run.history_compacted": Kind(
            "The model got a shortened history",
            _ATTEMPT | {"sent": "messages sent to the model", "of": "messages of the history looked at"},
        ),
        "run.delta": Kind(
            "A streamed run's text goes on",
            _ATTEMPT | {"offset": "characters of the text before this piece", "text": "the piece"},
            everywhere=False,
        ),
        "run.stream_ended": Kind(
            "A streamed run's text is complete, or was cut off", _ATTEMPT | {"outcome": "how the stream ended"} | _CODE
        ),
        "run.evaluated": Kind(
            "A judge has scored an answer", _RUN | {"judge": "the judge", "overall": "the score with it, 0-100"}
        ),
        "handoff.initiated": Kind(
            "A conversation of a team begins to change hands", _HANDOFF | {"urgency": "how soon"}
        ),
        "handoff.completed": Kind(
            "The member that a conversation was handed to has begun with it",
            {"team": "the team", "target": "the member", "agent": "its agent; empty for people"} | _RUN,
        ),
        "handoff.limit_reached": Kind(
            "A run was handed over as often as its team allows; it stays with the member",
            _RUN | {"team": "the team", "target": "the member that has it", "hops": "how often it was handed over"},
        ),
        "handoff.summarized": Kind(
            "A conversation was summed up for the agent that takes it over", _ATTEMPT | {"agent": "who summed it up"}
        ),
        "handoff.not_summarized": Kind(
            "A conversation could not be summed up; the agent that takes it over gets its last runs",
            _ATTEMPT | {"agent": "who was to sum it up"} | _CODE,
        ),
        "person.claimed": Kind("A person has taken a conversation", _PERSON | {"member": "for which member"}),
        "person.released": Kind("A person has put a conversation back into the inbox", _PERSON | {"member": "whose"}),
        "person.replied": Kind("A person has answered a run", _RUN | _PERSON),
        "agent.declared": _agent("An agent was declared, for the first time or with another spec", _AGENT),
        "agent.rolled_back": _agent("An earlier spec of an agent was declared again", _AGENT),
        "agent.enabled": _agent("An agent was switched on", _AGENT),
        "agent.disabled": _agent("An agent was switched off", _AGENT),
        "agent.deleted": _agent("An agent was declared deleted", _AGENT),
        "agent.created": _agent("A version was made at the provider"),
        "agent.adopted": _agent("A version of ours was found at the provider and taken over"),
        "agent.superseded": _agent("Another version took the place of this one"),
        "agent.restored": _agent("A retired agent is back"),
        "agent.kept": _agent("A version was found or made because a session is pinned to it"),
        "agent.gone": _agent("A version is no longer at the provider as it was made"),
        "agent.retired": _agent("An agent was given up, for want of use or on request"),
        "agent.provider_disabled": _agent("The provider no longer runs the agent"),
        "agent.archived": _agent("A version's definition was stored before it is deleted"),
        "agent.version_deleted": _agent("A version was deleted at the provider"),
        "agent.create_failed": _agent("The provider did not make a version", _FAILED),
        "agent.delete_failed": _agent("The provider did not delete a version", _FAILED),
        "agent.verify_failed": _agent("It could not be seen whether a version is as it was made", _FAILED),
        "budget.threshold": Kind(
            "A share of a budget is spent",
            {
                "scope": "whose budget",
                "unit": "what it limits",
                "period": "per when",
                "percent": "the share",
                "spent": "how much that is",
                "limit": "of how much",
            },
        ),
        "budget.blocked": Kind(
            "A run waits because a budget is used up",
            _RUN | _AGENT | {"session_id": "its session", "code": "why", "scopes": "whose budgets", "detail": "why"},
        ),
        "budget.degraded": Kind(
            "A run goes on with less, because much of a budget is used up",
            _RUN | _AGENT | {"step": "with what", "percent": "how much is used up", "model": "the model, if another"},
        ),
        "pool.waiting": Kind(
            "A run is put back on the queue because its agent's pool has no room",
            _ATTEMPT
            | {
                "pool": "the pool",
                "expected_wait_s": "when there may be room for it",
                "again_in_s": "when it looks again",
            },
        ),
        "resource.warning": Kind("A worker or pool uses much of what it has; once an hour", _RESOURCE),
        "resource.critical": Kind("It uses nearly all of it; once an hour", _RESOURCE),
        "route.breaker_opened": Kind(
            "A deployment of a route has failed too often, and gets no calls for a while",
            _DEPLOYMENT
            | {"why": "code of the last failure", "until": "until when", "times": "how often in a row, from 1"},
        ),
        "route.breaker_closed": Kind("It answers again, and gets calls as before", _DEPLOYMENT),
        "scaling.applied": Kind(
            "The app was scaled as a plan says",
            {
                "plan": "the plan",
                "instances": "instances needed at the peak",
                "maximum": "most instances that there may be now",
                "by": "who did it, where the platform's sign-in names them",
            },
        ),
        "approval.requested": Kind("A run waits for a decision", _ATTEMPT | {"approval_id": "the approval"}),
        "approval.decided": Kind(
            "An approval was decided",
            _APPROVAL
            | {"decision": "approve, amend or reject", "by": "who decided, where the platform's sign-in names them"},
        ),
        "approval.expired": Kind("Nobody decided an approval in time, which rejects it", _APPROVAL),
        "approval.withdrawn": Kind("There is nothing to decide any more", _APPROVAL),
        "approval.granted": Kind(
            "An operator lets a run go on, also past the steps of its agent's ladder that ask",
            _RUN | {"by": "the operator, where the platform's sign-in names one"},
        ),
        "workflow.started": Kind("A workflow run was accepted", _WORKFLOW | {"version": "the workflow's version"}),
        "workflow.step_started": Kind(
            "A step of a workflow run asks an agent", _STEP | _RUN | _AGENT | {"try": "the step's run, from 1"}
        ),
        "workflow.step_ended": Kind(
            "A step of a workflow run is over; what it asked last, where it asked anybody",
            _STEP | {"state": "how it ended"} | _CAME_TO | _RUN | _AGENT | _CODE,
        ),
        "workflow.cancel_requested": Kind("A workflow run is to be cancelled", _WORKFLOW),
        "workflow.ended": Kind(
            "A workflow run is over",
            _WORKFLOW
            | {"state": "how it ended"}
            | _CAME_TO
            | _CODE
            | {"step": "the step that has failed it, if one has"},
        ),
        "alert.fired": Kind("An alert rule holds", _ALERT),
        "alert.resolved": Kind(
            "It does not any more",
            _ALERT | {"resolved_value": "what is measured now", "resolution": "how it was resolved"},
        ),
    }
)
LOST = "events.expired"
"""Sent to a reader who missed events because they were deleted; not stored, as no state changed."""


def in_workspace_stream(name: str) -> bool:
    """Return whether events of this name are in the workspace's stream."""
    kind = CATALOGUE.get(name)
    return kind is None or kind.everywhere


def chosen_names(text: str) -> frozenset[str]:
    """Return the event names that a filter like `run.stage,agent.*` matches.

    Raises:
        InvalidInput: A part of it matches nothing (code `invalid_event_name`).
    """
    chosen: set[str] = set()
    for part in text.split(","):
        found = _matching(part.strip())
        if not found:
            rule = "names of events, or like run.*, separated by commas"
            raise InvalidInput(f"'names' takes {rule}.", code="invalid_event_name", fields={"names": rule})
        chosen.update(found)
    return frozenset(chosen)


def _matching(pattern: str) -> Sequence[str]:
    if pattern.endswith(".*"):
        return [name for name in CATALOGUE if name.startswith(pattern[:-1])]
    return [pattern] if pattern in CATALOGUE else []
