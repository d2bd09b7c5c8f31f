"""The host's own routes, and keys where they are enforced."""

import json
from collections.abc import Callable
from typing import Any


def test_status_and_functions(sample: Any) -> None:
    """The host tells its state and lists the app's functions with their bindings."""
    listed = {row["name"]: row["config"]["bindings"] for row in sample.call("GET", "/admin/functions").json()}

    assert sample.call("GET", "/admin/host/status").json()["state"] == "Running"
    assert listed["counter"][0]["type"] == "entityTrigger"
    assert {"echo", "tick", "fragile"} < set(listed)


def test_a_timer_runs_now_and_retries_by_its_policy(sample: Any, eventually: Callable[..., Any]) -> None:
    """POST runs a timer at once; its two retries follow, each told its number."""
    answer = sample.call("POST", "/admin/functions/Fragile", b'{"input": ""}')

    assert answer.status == 202
    eventually(lambda: len(sample.notes(event="fragile")) >= 3)
    assert [note["retry"] for note in sample.notes(event="fragile")] == [0, 1, 2]


def test_unknown_functions_and_bad_bodies(sample: Any) -> None:
    """What cannot run is told apart: unknown 404, malformed or senseless 400."""
    run = "/admin/functions/"

    assert sample.call("POST", run + "nobody").status == 404
    assert sample.call("POST", run + "tick", b"[]").status == 400
    assert sample.call("POST", run + "echo").status == 400
    assert sample.call("POST", run + "counter").status == 400


def test_keys_are_enforced_on_demand(launch: Callable[..., Any]) -> None:
    """With --enforce-keys each level takes its keys, header before query; they are kept, and printed only once."""
    app = launch(options=("--enforce-keys",))
    keys = json.loads((app.state / "keys.json").read_text())
    own, other = keys["functions"]["guarded"], keys["functions"]["administered"]

    def status(path: str, header: str | None = None) -> int:
        return app.call("GET", path, headers={"x-functions-key": header} if header else None).status

    assert status("/api/echo/1") == 200
    assert (status("/api/guarded"), status("/api/guarded?code=wrong")) == (401, 401)
    assert tuple(status("/api/guarded", key) for key in (own, keys["host"], keys["master"])) == (200, 200, 200)
    assert (status(f"/api/guarded?code={own}"), status("/api/guarded", other)) == (200, 401)
    assert status(f"/api/guarded?code={own}", "wrong") == 401
    assert (status("/api/administered", keys["host"]), status("/api/administered", keys["master"])) == (401, 200)
    assert (status("/admin/functions"), status("/admin/functions", keys["master"])) == (401, 200)
    assert app.signal("k", "add", 1).status == 401
    assert app.call("GET", "/api/guarded").body == b""
    assert keys["master"] in app.host_log()

    app.host.stop()
    again = launch(options=("--enforce-keys",))

    assert json.loads((again.state / "keys.json").read_text()) == keys
    assert keys["master"] not in again.host_log()


def test_disabled_functions_do_not_run(launch: Callable[..., Any]) -> None:
    """A disabled function is listed as such and neither its route nor its run answers."""
    app = launch(**{"AzureWebJobs.echo.Disabled": "true", "AzureWebJobs_tick_Disabled": "1"})

    assert app.call("GET", "/api/echo/1").status == 404
    assert app.call("POST", "/admin/functions/tick").status == 400
    assert [line.split()[-1] for line in app.host_log().splitlines() if line.startswith("    tick ")] == ["(disabled)"]
