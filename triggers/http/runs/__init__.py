"""Runs, and dead letters."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, DAY, PAGING, TEXT_ID, Endpoint, Parameter, choice

_STATES = ("queued", "running", "waiting", "succeeded", "failed", "cancelled")

ENDPOINTS = (
    Endpoint(
        "POST",
        "runs/{run_id}/resume",
        "runs_resume",
        "Let a run go on that waits for a budget or for approval; if there is still no room, it waits again.",
        returns="RunView",
        status=202,
        errors=(404, 409),
    ),
    Endpoint(
        "GET",
        "dead-letters",
        "dead_letters_list",
        "List runs that failed for good and messages that the queue gave up on, and why.",
        returns="DeadLetterPage",
        query=PAGING,
    ),
    Endpoint(
        "POST",
        "dead-letters/{id}/redrive",
        "dead_letters_redrive",
        "Put a dead letter's run back on the queue.",
        returns="RedrivenView",
        status=202,
        errors=(404, 409),
    ),
    Endpoint(
        "DELETE",
        "dead-letters/{id}",
        "dead_letters_discard",
        "Throw a dead letter away: a message is removed, a failed run stays as it is and is listed no more.",
        status=204,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "runs",
        "runs_list",
        "List runs, newest first, in a page those in flight before others; of long texts, the beginning. A page of a "
        "`state` can be short, even empty, while there is a `next`.",
        returns="RunPage",
        query=PAGING
        | {
            "state": choice("Only runs in this state …", *_STATES),
            "agent": Parameter("… of this agent …", AGENT_NAME),
            "session": Parameter("… in this session …", TEXT_ID),
            "user": Parameter("… and of this user.", TEXT_ID),
            "from": Parameter("Only runs accepted on this UTC day or later, like 2026-11-01.", DAY),
            "to": Parameter("Only runs accepted on this UTC day or earlier.", DAY),
        },
    ),
    Endpoint(
        "POST",
        "agents/{name}/runs",
        "runs_submit",
        "Ask an agent: 202 once the run is queued; with `Prefer: wait=N`, 200 if it ends within N seconds.",
        body="lifecycle.conversations.submission:RunRequest",
        returns="RunView",
        status=202,
        also=200,
        errors=(404, 409, 413, 429),
        creates=True,
        waits=True,
        signals=True,
    ),
    Endpoint(
        "POST",
        "runs/{run_id}/feedback",
        "runs_feedback",
        "Say whether an answer was helpful, and why: a score of its own, `feedback`, beside the others.",
        body="FeedbackBody",
        returns="RunView",
        errors=(404, 409),
    ),
    Endpoint("GET", "runs/{run_id}", "runs_get", "Get a run.", returns="RunView", errors=(404,)),
    Endpoint(
        "GET",
        "runs/{run_id}/steps",
        "runs_steps",
        "List what a run did: model calls, tool calls and waits, in order, over all its attempts.",
        returns="StepPage",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "runs/{run_id}/cancel",
        "runs_cancel",
        "Cancel a run: at once while it is queued, at the next opportunity while it is running.",
        returns="RunView",
        status=202,
        also=200,
        errors=(404,),
    ),
)
