"""Handlers of scaling."""

from __future__ import annotations

import re

from kernel.errors import Forbidden
from llmops.capacity.scaling_forecast import commands
from triggers.http.handler_call import Call, Reply
from triggers.http.scaling.views import (
    RecommendationView,
    ScalingAppliedView,
    ScalingPolicyView,
    SiteScaleView,
)

_SITE = re.compile(r"(?i)/resourceGroups/([^/]+)/.*/sites/([^/]+)$")


def _check_operator(call: Call) -> None:
    """Check that the caller's workspace is that of the app's operators.

    Raises:
        Forbidden: It is another one.
    """
    if call.workspace != call.services.core.settings.scaling_workspace:
        msg = "How the app is scaled concerns all workspaces; it belongs to the one that SCALING_WORKSPACE names."
        raise Forbidden(msg, code="scaling_other_workspace")


async def scaling_policy_get(call: Call) -> Reply:
    _check_operator(call)
    policy, etag = await call.services.scaling.store.policy()
    return Reply(ScalingPolicyView.of(policy), headers={"ETag": etag} if etag else {})


async def scaling_policy_put(call: Call) -> Reply:
    _check_operator(call)
    policy = call.body.policy()
    etag = await call.services.scaling.store.put(policy, call.header("if-match"))
    return Reply(ScalingPolicyView.of(policy), headers={"ETag": etag})


async def scaling_recommendation(call: Call) -> Reply:
    _check_operator(call)
    plan, current = await call.services.scaling.scaler.recommend()
    site = _SITE.search(call.services.core.settings.scaling_site)
    group, name = site.groups() if site else ("", "")
    lines = list(commands(plan, current, group, name))
    return Reply(RecommendationView.from_plan(plan, current, lines), headers={"Cache-Control": "no-store"})


async def scaling_apply(call: Call) -> Reply:
    _check_operator(call)
    before, after = await call.services.scaling.scaler.apply(call.body.id, call.workspace, call.caller)
    return Reply(ScalingAppliedView(before=SiteScaleView.of(before), after=SiteScaleView.of(after)))
