"""The workers' agent caches (loader): their performance, the ranking of agents, and preloading."""

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
        "Get the performance of the workers' agent caches: by worker and in total.",
        returns="LoaderView",
    ),
    Endpoint(
        "GET",
        "loader/activity",
        "loader_activity",
        "List the most used agents by priority: frequency, recency, success, and which agents follow them.",
        returns="ActivityPage",
        query=PAGING,
    ),
    Endpoint(
        "GET",
        "loader/what-if",
        "loader_what_if",
        "Simulate caches of another policy or size with the accesses of the last hours.",
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
        "Preload agents: in this worker now, as far as its cache has room, in the others shortly; valid for a day.",
        body="PreloadBody",
        returns="PreloadView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "loader/optimize",
        "loader_optimize",
        "Optimise this worker's cache: which agents to evict and preload, and why; with `dry_run`, only say so.",
        returns="OptimizeView",
        query={
            "dry_run": Parameter(
                "`true` (default) only returns what would happen; `false` does it.",
                {"type": "boolean", "default": True},
            )
        },
    ),
)
