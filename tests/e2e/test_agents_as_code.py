"""Plan and apply from the command line, against a running app: `python -m lifecycle`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pty
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from azure.data.tables.aio import TableServiceClient

from devhost.services import PROJECT
from lifecycle.cli.main import main
from tests.e2e.support import Api, Stack
from tests.waiting import QUIET_S

FILE = """\
name: {name}
spec:
  provider: offline
  model: gpt-4o
  instructions: {instructions}
"""


async def lifecycle(stack: Stack, api: Api, *words: str, url: str | None = None) -> tuple[int, str, str]:
    """Run a command in this process, and return exit code, output and errors."""
    where = ("--url", url or stack.host.url, "--workspace", str(api.workspace))
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(errors):
        code = await asyncio.to_thread(main, [*words, *where], {}, out)
    return code, out.getvalue(), errors.getvalue()


async def test_a_directory_is_planned_and_applied(stack: Stack, api: Api, tmp_path: Path) -> None:
    """Created, unchanged, changed, drifted and deleted: each plan says it, each apply does it, then nothing is left."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(FILE.format(name=name, instructions="Be brief."))
    await api.declare("not_ours")
    await api.answer("not_ours")
    words = (str(tmp_path), "--managed-by", "e2e")

    code, out, _ = await lifecycle(stack, api, "plan", *words)
    assert code == 2, out
    assert "+  one  create" in out
    assert "Declarations: 2 create. Providers: nothing; 1 agents unchanged." in out
    assert (await api.call("GET", "agents/one")).status == 404

    code, out, errors = await lifecycle(stack, api, "apply", *words)
    assert (code, errors) == (1, "error: there is no terminal for the confirmation; use --yes\n")
    code, out, errors = await lifecycle(stack, api, "apply", *words, "--yes")
    assert (code, errors) == (0, ""), out
    assert "Applied: 2 done." in out
    assert (await api.get("agents/one"))["state"] == (await api.get("agents/two"))["state"] == "active"
    assert (await lifecycle(stack, api, "plan", *words))[0] == 0

    # A version vanishes at the provider, a file changes, another one goes.
    gone = (await api.get("agents/one"))["version"]
    async with TableServiceClient.from_connection_string(stack.azurite.connection_string) as service:
        await service.get_table_client("offlineagents").delete_entity(gone["name"], gone["version"])
    (tmp_path / "one.yaml").write_text(FILE.format(name="one", instructions="Be very brief."))
    (tmp_path / "two.yaml").rename(tmp_path / "two.gone")
    code, out, _ = await lifecycle(stack, api, "plan", *words)
    assert code == 2
    assert '~  one  update  instructions: "Be brief." -> "Be very brief."' in out
    assert "-  two  delete  its file is gone (destructive)" in out
    assert "one  recreate  Version 1 is gone. Make it again." in out

    code, out, errors = await lifecycle(stack, api, "apply", *words, "--yes")
    assert (code, errors) == (2, ""), out
    assert (await api.get("agents/two"))["state"] == "active"
    code, out, errors = await lifecycle(stack, api, "apply", *words, "--yes", "--destructive")
    assert (code, errors) == (0, ""), out
    assert (await api.call("GET", "agents/two")).status == 404
    one = await api.get("agents/one")
    assert (one["state"], one["current"], one["spec"]["instructions"]) == ("active", True, "Be very brief.")
    assert (await api.get("agents/not_ours"))["state"] == "active"
    assert (await lifecycle(stack, api, "plan", *words))[0] == 0

    await stack.run_timer("reconcile_agents")
    assert "workspaces: " in stack.log()


async def test_what_goes_wrong_is_said(stack: Stack, api: Api, tmp_path: Path) -> None:
    """A bad file, a refused spec, no server: one line on stderr, exit code 1, nothing declared."""
    (tmp_path / "a.yaml").write_text("name: a\nspec: {model: m, temprature: 1}")
    code, out, errors = await lifecycle(stack, api, "plan", str(tmp_path))
    assert (code, out) == (1, "")
    assert errors.startswith(f"error: {tmp_path}/a.yaml: spec.temprature: ")

    (tmp_path / "a.yaml").write_text("name: a\nspec: {model: m, tools: [no_such_tool]}")
    code, out, errors = await lifecycle(stack, api, "apply", str(tmp_path), "--yes")
    assert code == 1
    assert errors.startswith("error: PUT agents/a: 400 unknown_tool: ")
    assert (await api.call("GET", "agents/a")).status == 404

    for url, said in (
        ("http://127.0.0.1:9", "The app at http://127.0.0.1:9 cannot be reached: ConnectError."),
        ("nowhere", "'nowhere' is not a URL; use one like http://127.0.0.1:7071"),
        (f"{stack.host.url}/admin", f"404; this is not the app's answer, is {stack.host.url}/admin its address?"),
    ):
        code, out, errors = await lifecycle(stack, api, "plan", str(tmp_path), url=url)
        assert (code, out) == (1, "")
        assert errors.startswith("error: ")
        assert errors.endswith(f"{said}\n")


async def test_what_changed_since_it_was_shown_is_not_overwritten(stack: Stack, api: Api, tmp_path: Path) -> None:
    """Somebody declares the agent while the question is on the screen: the answer `yes` changes nothing.

    Run as a person does, in a terminal.
    """
    await api.declare("a", instructions="One.")
    (tmp_path / "a.yaml").write_text(FILE.format(name="a", instructions="Two."))
    command = [sys.executable, "-m", "lifecycle", "apply", str(tmp_path), "--url", stack.host.url]
    ours, theirs = pty.openpty()
    applying = await asyncio.create_subprocess_exec(
        *command, "--workspace", str(api.workspace), cwd=PROJECT, stdin=theirs, stdout=PIPE, stderr=PIPE
    )
    os.close(theirs)
    try:
        assert applying.stdout is not None
        shown = await asyncio.wait_for(applying.stdout.readuntil(b"taken for it: "), QUIET_S)
        assert b"~  a  update" in shown
        await api.declare("a", instructions="Three.")
        os.write(ours, b"yes\n")
        _, errors = await asyncio.wait_for(applying.communicate(), QUIET_S)
    finally:
        os.close(ours)

    assert applying.returncode == 1
    assert errors.startswith(b"error: PUT agents/a: 412 etag_mismatch: ")
    assert (await api.get("agents/a"))["spec"]["instructions"] == "Three."


async def test_plans_over_http(api: Api) -> None:
    """Paging, progress, and the errors of plans that are unknown, stale or another workspace's."""
    for name in ("a", "b", "c"):
        await api.declare(name)
    first = await api.get("registry/plan?limit=2")
    rest = await api.get(f"registry/plan?limit=2&next={first['next']}")
    again = await api.get(f"registry/plan/{first['id']}?limit=2&next={first['next']}")

    assert (first["total"], first["counts"], rest["next"]) == (3, {"create": 3}, None)
    assert [line["agent"] for line in (*first["items"], *rest["items"])] == ["a", "b", "c"]
    assert again == rest
    assert {line["outcome"] for line in first["items"]} == {"planned"}

    body = {"plan_id": first["id"]}
    assert (await api.elsewhere().call("POST", "registry/apply", body)).code == "plan_not_found"
    assert (await api.elsewhere().call("GET", f"registry/plan/{first['id']}")).status == 404
    assert (await api.call("POST", "registry/apply", {"plan_id": "nope"})).code == "plan_not_found"
    assert (await api.call("POST", "registry/apply", {})).status == 400
    other = await api.get("registry/plan")
    assert (await api.call("GET", f"registry/plan/{other['id']}?next={first['next']}")).code == "invalid_next"
    await api.declare("d")
    stale = await api.call("POST", "registry/apply", body)
    assert (stale.status, stale.code) == (409, "plan_stale")

    fresh = await api.get("registry/plan")
    applied = await api.call("POST", "registry/apply", {"plan_id": fresh["id"]})
    assert (applied.status, applied.headers["location"]) == (202, f"/api/registry/plan/{fresh['id']}")
    assert [line["outcome"] for line in applied.json()["items"]] == ["sent"] * 4
    for name in ("a", "b", "c", "d"):
        await api.agent_in(name, "active")
    done = await api.get(f"registry/plan/{fresh['id']}")
    assert [line["outcome"] for line in done["items"]] == ["done"] * 4
    assert (await api.get("registry/plan"))["total"] == 0


async def test_a_team_and_a_workflow_are_planned_and_applied_with_their_agents(stack: Stack, api: Api) -> None:
    """The example's; agents first, and then nothing is left to do."""
    planned = await lifecycle(stack, api, "plan", str(PROJECT / "examples/teams"))
    applied = await lifecycle(stack, api, "apply", str(PROJECT / "examples/teams"), "--yes")
    again = await lifecycle(stack, api, "plan", str(PROJECT / "examples/teams"))

    assert planned[0] == 2
    assert "+  team support" in planned[1]
    assert "+  workflow second_opinion" in planned[1]
    assert "support: created" in applied[1], applied
    assert "second_opinion: created" in applied[1], applied
    assert again[0] == 0, again[1]
    assert (await api.get("teams/support"))["version"] == 1
    assert (await api.get("workflows/second_opinion"))["version"] == 1
