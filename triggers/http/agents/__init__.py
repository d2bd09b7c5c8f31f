"""Agents: declaring them, switching them, their versions and audit trails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from triggers.http.endpoint import PAGING, Endpoint, Parameter

LONGEST_GRACE_S = 366 * 86400


def _command(verb: str, summary: str, errors: Sequence[int], query: Mapping[str, Parameter] | None = None) -> Endpoint:
    return Endpoint(
        "POST",
        f"agents/{{name}}/{verb}",
        f"agents_{verb}",
        summary,
        returns="AgentView",
        status=202,
        errors=errors,
        query=query or {},
        signals=True,
    )


ENDPOINTS = (
    Endpoint(
        "PUT",
        "agents/{name}",
        "agents_declare",
        "Declare an agent: create it, or change what it is composed of. Declaring the same again changes nothing.",
        body="lifecycle.configuration.layers:AgentConfig",
        returns="AgentView",
        also=201,
        errors=(412,),
        signals=True,
    ),
    Endpoint(
        "DELETE",
        "agents/{name}",
        "agents_delete",
        "Delete an agent and what is ours of it at the provider. Its sessions and costs stay.",
        status=204,
        errors=(404, 412),
        signals=True,
    ),
    Endpoint("GET", "agents", "agents_list", "List agents by name.", returns="AgentPage", query=PAGING),
    Endpoint("GET", "agents/{name}", "agents_get", "Get an agent.", returns="AgentView", errors=(404,)),
    Endpoint(
        "GET", "agents/{name}/stats", "agents_stats", "How an agent is used.", returns="AgentStatsView", errors=(404,)
    ),
    _command("prewarm", "Make an agent ready before its first run.", (404, 409)),
    _command(
        "retire",
        "Put an agent away at its provider, keeping its spec; its next run restores it.",
        (404, 409),
        {
            "grace_s": Parameter(
                "Seconds until its versions are deleted, 0 for at once; PRUNE_GRACE_S unless given.",
                {"type": "integer", "minimum": 0, "maximum": LONGEST_GRACE_S},
            )
        },
    ),
    _command("restore", "Bring a retired or failed agent back.", (404, 409)),
    _command("verify", "Look whether an agent is at its provider as it was made, and make it again if not.", (404,)),
    _command("disable", "Switch an agent off: its runs are refused until it is enabled.", (404,)),
    _command("enable", "Switch an agent on again.", (404,)),
    Endpoint(
        "POST",
        "prune",
        "agents_prune",
        "Judge what is due, and retire idle agents and delete superseded versions unless it is a dry run.",
        returns="PruneView",
        query={
            "dry_run": Parameter(
                "`true` (default) only says what would happen; `false` does it.", {"type": "boolean", "default": True}
            )
        },
        signals=True,
    ),
    Endpoint(
        "GET",
        "agents/{name}/versions",
        "agents_versions",
        "List an agent's versions at its provider, newest first, and why each is kept.",
        returns="VersionPage",
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "agents/{name}/versions/{version}",
        "agents_version",
        "Get the spec that a version of an agent was made from.",
        returns="VersionSpecView",
        errors=(404, 409),
    ),
    Endpoint(
        "POST",
        "agents/{name}/rollback",
        "agents_rollback",
        "Declare an earlier spec of an agent again, by its version or revision; forward is the same.",
        body="RollBack",
        returns="AgentView",
        errors=(404, 409, 412),
        signals=True,
    ),
    Endpoint(
        "GET",
        "agents/{name}/audit",
        "agents_audit",
        "Tell what happened to an agent, newest first; of a deleted one, too.",
        returns="TrailPage",
        query=PAGING,
        errors=(404,),
    ),
)
