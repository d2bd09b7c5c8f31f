"""How many instances there should be."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "scaling/policy",
        "scaling_policy_get",
        "Get how the app is to be scaled; the usual policy where none was set.",
        returns="ScalingPolicyView",
        errors=(403,),
    ),
    Endpoint(
        "PUT",
        "scaling/policy",
        "scaling_policy_put",
        "Set how the app is to be scaled.",
        body="ScalingPolicyBody",
        returns="ScalingPolicyView",
        errors=(403, 412),
    ),
    Endpoint(
        "GET",
        "scaling/recommendation",
        "scaling_recommendation",
        "How many instances there should be, what that rests on, and the commands that do it.",
        returns="RecommendationView",
        errors=(403, 404, 409),
    ),
    Endpoint(
        "POST",
        "scaling/apply",
        "scaling_apply",
        "Scale the app as a recommendation says, where SCALING_APPLY allows it.",
        body="ScalingApplyBody",
        returns="ScalingAppliedView",
        errors=(403, 404, 409),
    ),
)
