"""The number of instances: policy, recommendation, and applying it."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "scaling/policy",
        "scaling_policy_get",
        "Get the scaling policy; the default policy where none was set.",
        returns="ScalingPolicyView",
        errors=(403,),
    ),
    Endpoint(
        "PUT",
        "scaling/policy",
        "scaling_policy_put",
        "Set the scaling policy.",
        body="ScalingPolicyBody",
        returns="ScalingPolicyView",
        errors=(403, 412),
    ),
    Endpoint(
        "GET",
        "scaling/recommendation",
        "scaling_recommendation",
        "Get the recommended number of instances, the reasons, and the commands that apply it.",
        returns="RecommendationView",
        errors=(403, 404, 409),
    ),
    Endpoint(
        "POST",
        "scaling/apply",
        "scaling_apply",
        "Apply a recommendation, where SCALING_APPLY allows it.",
        body="ScalingApplyBody",
        returns="ScalingAppliedView",
        errors=(403, 404, 409),
    ),
)
