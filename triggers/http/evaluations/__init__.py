"""Evaluations of answers."""

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
        "Get the mean scores of each version of an agent, in total and by day.",
        returns="ScoresView",
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "evaluations/{name}/comparison",
        "evaluations_comparison",
        "Compare the scores of two versions of an agent, with statistical significance.",
        returns="ComparisonView",
        query={
            "base": Parameter("The version to compare with; default the latest other one."),
            "new": Parameter("The version to compare; default the agent's current one."),
        },
        errors=(404,),
    ),
)
