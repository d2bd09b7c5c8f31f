"""How good answers were."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, PAGING, Endpoint, Parameter

ENDPOINTS = (
    Endpoint(
        "GET",
        "evaluations",
        "evaluations_list",
        "List an agent's scored answers, newest first.",
        returns="EvaluationPage",
        query=PAGING
        | {
            "agent": Parameter("The agent.", AGENT_NAME, required=True),
            "version": Parameter("Only of this version."),
        },
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "evaluations/{name}/versions",
        "evaluations_versions",
        "What the answers of each version of an agent were scored, in all and day by day.",
        returns="ScoresView",
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "evaluations/{name}/comparison",
        "evaluations_comparison",
        "Whether a version of an agent answers worse than another, and whether that is more than chance.",
        returns="ComparisonView",
        query={
            "base": Parameter("The version to compare with; the latest other one unless given."),
            "new": Parameter("The version to look at; the agent's current one unless given."),
        },
        errors=(404,),
    ),
)
