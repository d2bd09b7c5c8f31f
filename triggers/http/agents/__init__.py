"""Agents: declaring, enabling and disabling them, their versions and audit trails."""

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
        "Delete an agent, and its versions at the provider that this app made. Its sessions and costs stay.",
        status=204,
        errors=(404, 412),
        signals=True,
    ),
    Endpoint("GET", "agents", "agents_list", "List agents by name.", returns="AgentPage", query=PAGING),
    Endpoint("GET", "agents/{name}", "agents_get", "Get an agent.", returns="AgentView", errors=(404,)),
    Endpoint(
        "GET",
        "agents/{name}/stats",
        "agents_stats",
        "Get an agent's usage statistics.",
        returns="AgentStatsView",
        errors=(404,),
    ),
    _command("prewarm", "Create an agent at its provider before its first run.", (404, 409)),
    _command(
        "retire",
        "Retire an agent: its spec is kept, its versions are deleted after a grace period, its next run restores it.",
        (404, 409),
        {
            "grace_s": Parameter(
                "Seconds until its versions are deleted, 0 for at once; PRUNE_GRACE_S unless given.",
                {"type": "integer", "minimum": 0, "maximum": LONGEST_GRACE_S},
            )
        },
    ),
    _command("restore", "Bring a retired or failed agent back.", (404, 409)),
    _command("verify", "Check that an agent exists at its provider unchanged, and create it again if not.", (404,)),
    _command("disable", "Disable an agent: its runs are refused until it is enabled.", (404,)),
    _command("enable", "Enable a disabled agent.", (404,)),
    Endpoint(
        "POST",
        "prune",
        "agents_prune",
        "Retire idle agents and delete superseded versions; with `dry_run`, only say which.",
        returns="PruneView",
        query={
            "dry_run": Parameter(
                "`true` (default) only returns what would happen; `false` does it.",
                {"type": "boolean", "default": True},
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
        "Roll back: declare an earlier (or later) spec of an agent again, named by its version or revision.",
        body="RollBack",
        returns="AgentView",
        errors=(404, 409, 412),
        signals=True,
    ),
    Endpoint(
        "GET",
        "agents/{name}/audit",
        "agents_audit",
        "Get an agent's audit trail, newest first; also of a deleted agent.",
        returns="TrailPage",
        query=PAGING,
        errors=(404,),
    ),
)
