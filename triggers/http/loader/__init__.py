"""The workers' caches of agents: how they do, what is learnt, and what is preloaded."""

from __future__ import annotations

from typing import Any

from triggers.http.endpoint import PAGING, Endpoint, Parameter, choice


def _number(text: str, most: int, default: int | None = None) -> Parameter:
    schema: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": most}
    return Parameter(text, schema if default is None else schema | {"default": default})


ENDPOINTS = (
    Endpoint(
        "GET",
        "loader",
        "loader",
        "How the workers' caches of the workspace's agents do: by worker and in all.",
        returns="LoaderView",
    ),
    Endpoint(
        "GET",
        "loader/activity",
        "loader_activity",
        "List the agents used most, by priority: how often, how lately, how well, and what is used after them.",
        returns="ActivityPage",
        query=PAGING,
    ),
    Endpoint(
        "GET",
        "loader/what-if",
        "loader_what_if",
        "Replay the accesses of the last hours over caches of another policy or size.",
        returns="WhatIfView",
        query={
            "policy": choice("One policy; all unless given.", "sieve", "lru", "s3-fifo", "w-tinylfu"),
            "capacity": _number("Size of each cache; AGENT_CACHE_SIZE unless given.", 10_000),
            "workers": _number("Number of caches, each with its share of the accesses.", 64, 1),
            "hours": _number("How far back.", 720, 24),
            "most": _number("Largest cache that there may be memory for.", 10_000, 500),
        },
    ),
    Endpoint(
        "POST",
        "loader/preload",
        "loader_preload",
        "Open agents in this worker now, where there is room, and in the others when they next look; for a day.",
        body="PreloadBody",
        returns="PreloadView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "loader/optimize",
        "loader_optimize",
        "Say what this worker's cache should let go and open, and why, and do it unless it is a dry run.",
        returns="OptimizeView",
        query={
            "dry_run": Parameter(
                "`true` (default) only says what would happen; `false` does it.", {"type": "boolean", "default": True}
            )
        },
    ),
)
