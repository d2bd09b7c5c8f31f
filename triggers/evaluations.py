"""HTTP: how good answers were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from llmops.facts.scores import cursor
from triggers.agents import PAGING
from triggers.api import Endpoint, Reply, page_token
from triggers.views.base import Page
from triggers.views.evaluations import (
    ChangeView,
    ComparisonView,
    DayMeansView,
    EvaluationView,
    MeanView,
    ScoresView,
    VersionScoresView,
)

if TYPE_CHECKING:
    from bootstrap.services import Services
    from lifecycle.evaluation.comparison import Comparison, VersionScores
    from llmops.evaluation.moments import Moments
    from triggers.api import Api, Call


class EvaluationPage(Page[EvaluationView]):
    """Scored answers, newest first."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of evaluations."""

    @api.handle(
        Endpoint(
            "GET",
            "evaluations",
            "evaluations_list",
            "List an agent's scored answers, newest first.",
            returns=EvaluationPage,
            query=PAGING | {"agent": "The agent; required.", "version": "Only of this version."},
            errors=(404,),
        )
    )
    async def listing(call: Call) -> Reply:
        name = call.query("agent")
        if name is None:
            raise InvalidInput("Say which agent: ?agent=NAME.", code="agent_required", fields={"agent": "is required"})
        agent = await services.catalog.get(call.workspace, agent_name(name))
        found, after = await services.evaluations.list(
            call.workspace, agent.name, call.limit(), after=call.cursor(cursor), version=call.query("version")
        )
        items = [EvaluationView.of(one) for one in found]
        return Reply(EvaluationPage(items=items, next=page_token(after)))

    @api.handle(
        Endpoint(
            "GET",
            "evaluations/{name}/versions",
            "evaluations_versions",
            "What the answers of each version of an agent were scored, in all and day by day.",
            returns=ScoresView,
            errors=(404,),
        )
    )
    async def versions(call: Call) -> Reply:
        scores = await services.comparison.scores(call.workspace, agent_name(call.route("name")))
        return Reply(ScoresView(agent=call.route("name"), versions=[_version(one) for one in scores]))

    @api.handle(
        Endpoint(
            "GET",
            "evaluations/{name}/comparison",
            "evaluations_comparison",
            "Whether a version of an agent answers worse than another, and whether that is more than chance.",
            returns=ComparisonView,
            query={
                "base": "The version to compare with; the latest other one unless given.",
                "new": "The version to look at; the agent's current one unless given.",
            },
            errors=(404,),
        )
    )
    async def comparison(call: Call) -> Reply:
        name = agent_name(call.route("name"))
        return Reply(
            _comparison(await services.comparison.compare(call.workspace, name, call.query("base"), call.query("new")))
        )


def _version(scores: VersionScores) -> VersionScoresView:
    return VersionScoresView(
        version=scores.version,
        current=scores.current,
        parts=_means(scores.total),
        days=[DayMeansView(day=day, parts=_means(parts)) for day, parts in scores.days],
    )


def _means(parts: Mapping[str, Moments]) -> Sequence[MeanView]:
    ordered = sorted(parts.items(), key=lambda item: (item[0] != "overall", item[0]))
    return [
        MeanView(part=name, mean=round(found.mean, 2), count=found.count)
        for name, found in ordered
        if found.mean is not None
    ]


def _comparison(found: Comparison) -> ComparisonView:
    return ComparisonView(
        agent=found.agent,
        base=found.base,
        new=found.new,
        verdict=found.changes[0].verdict if found.changes else "too_few",
        changes=[ChangeView.of(change) for change in found.changes],
    )
