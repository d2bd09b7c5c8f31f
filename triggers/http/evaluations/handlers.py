"""Handlers of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from lifecycle.evaluation.version_comparison import Comparison, VersionScores
from llmops.evaluation.score_distribution import ScoreDistribution
from llmops.facts.scores import cursor
from triggers.http.evaluations.views import (
    ChangeView,
    ComparisonView,
    DayMeansView,
    EvaluationPage,
    EvaluationView,
    MeanView,
    ScoresView,
    VersionScoresView,
)
from triggers.http.handler_call import Call, Reply, page_token


def _version(scores: VersionScores) -> VersionScoresView:
    return VersionScoresView(
        version=scores.version,
        current=scores.current,
        parts=_means(scores.total),
        days=[DayMeansView(day=day, parts=_means(parts)) for day, parts in scores.days],
    )


def _means(parts: Mapping[str, ScoreDistribution]) -> Sequence[MeanView]:
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


async def evaluations_list(call: Call) -> Reply:
    name = call.query("agent")
    if name is None:
        raise InvalidInput("Say which agent: ?agent=NAME.", code="agent_required", fields={"agent": "is required"})
    agent = await call.services.agents.catalog.get(call.workspace, agent_name(name))
    found, after = await call.services.evaluation.scores.list(
        call.workspace, agent.name, call.limit(), after=call.cursor(cursor), version=call.query("version")
    )
    items = [EvaluationView.of(one) for one in found]
    return Reply(EvaluationPage(items=items, next=page_token(after)))


async def evaluations_versions(call: Call) -> Reply:
    scores = await call.services.evaluation.comparison.scores(call.workspace, agent_name(call.route("name")))
    return Reply(ScoresView(agent=call.route("name"), versions=[_version(one) for one in scores]))


async def evaluations_comparison(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    return Reply(
        _comparison(
            await call.services.evaluation.comparison.compare(
                call.workspace, name, call.query("base"), call.query("new")
            )
        )
    )
