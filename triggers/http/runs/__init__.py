"""Runs, and dead letters."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, DAY, PAGING, TEXT_ID, Endpoint, Parameter, choice

_STATES = ("queued", "running", "waiting", "succeeded", "failed", "cancelled")

ENDPOINTS = (
    Endpoint(
        "POST",
        "runs/{run_id}/resume",
        "runs_resume",
        "Resume a run that waits for a budget or an approval; if the budget still does not allow it, it waits again.",
        returns="RunView",
        status=202,
        errors=(404, 409),
    ),
    Endpoint(
        "GET",
        "dead-letters",
        "dead_letters_list",
        "List dead letters: failed runs that may be retried, and messages that the queue gave up on, with the reason.",
        returns="DeadLetterPage",
        query=PAGING,
    ),
    Endpoint(
        "POST",
        "dead-letters/{id}/redrive",
        "dead_letters_redrive",
        "Redrive a dead letter: put its run back on the queue.",
        returns="RedrivenView",
        status=202,
        errors=(404, 409),
    ),
    Endpoint(
        "DELETE",
        "dead-letters/{id}",
        "dead_letters_discard",
        "Discard a dead letter: a message is deleted; a failed run is kept, but no longer listed.",
        status=204,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "runs",
        "runs_list",
        "List runs, newest first; within a page those in flight come first; long texts are cut. With `state`, a page "
        "can be short or empty although there is a `next`.",
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
        body="lifecycle.conversations.run_request:RunRequest",
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
        "Rate an answer as helpful or not, with a comment; the rating is the part `feedback` of its score.",
        body="FeedbackBody",
        returns="RunView",
        errors=(404, 409),
    ),
    Endpoint("GET", "runs/{run_id}", "runs_get", "Get a run.", returns="RunView", errors=(404,)),
    Endpoint(
        "GET",
        "runs/{run_id}/steps",
        "runs_steps",
        "List the steps of a run: model calls, tool calls and waits, in order, over all its attempts.",
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
