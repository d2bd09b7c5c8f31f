"""Durable entities of a running host: the SDK's client, the routes, order, and survival."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

HOOKS = "/runtime/webhooks/durabletask"


def test_the_sdks_client_signals_and_reads(sample: Any, eventually: Callable[..., Any]) -> None:
    """A function's own client signals an entity over RPC and reads its state."""
    assert sample.call("GET", "/api/counters/sdk").json() == {"exists": False, "state": None}

    assert sample.call("POST", "/api/counters/sdk/add", b"5").status == 202

    eventually(lambda: sample.call("GET", "/api/counters/sdk").json() == {"exists": True, "state": 5})


def test_the_sdks_client_drops_falsy_inputs(sample: Any, eventually: Callable[..., Any]) -> None:
    """Trap: an input of 0 never leaves the client, so get_input fails in the entity."""
    sample.call("POST", "/api/counters/falsy/add", b"0")

    eventually(lambda: "of @counter@falsy" in sample.host_log())
    assert sample.state_of("falsy") is None


def test_routes_answer_as_the_extension(sample: Any, eventually: Callable[..., Any]) -> None:
    """202 for signals, 400 for bad JSON and unknown entities, 404 for absent ones, 501 for orchestrations."""
    bad = sample.call("POST", HOOKS + "/entities/counter/r?op=add", b"{", {"Content-Type": "application/json"})

    assert (bad.status, sample.signal("r", "add", 1, name="nobody").status) == (400, 400)
    assert sample.call("GET", HOOKS + "/entities/counter/absent").status == 404
    assert sample.call("POST", HOOKS + "/orchestrators/any").status == 501
    assert sample.call("GET", HOOKS + "/instances/any").status == 501
    assert sample.signal("r", "add", 1).status == 202
    eventually(lambda: sample.state_of("r", "COUNTER") == 1)
    assert sample.call("DELETE", HOOKS + "/entities/Counter/r").status == 202
    eventually(lambda: sample.state_of("r") is None)


def test_entities_are_listed_in_pages(sample: Any, eventually: Callable[..., Any]) -> None:
    """The listing takes a name, a page size and a continuation, and states on demand."""
    for number in range(3):
        sample.signal(f"page{number}", "add", number + 1)
    eventually(lambda: sample.state_of("page2") == 3)

    found, token = [], ""
    while True:
        headers = {"x-ms-continuation-token": token} if token else {}
        page = sample.call("GET", HOOKS + "/entities/counter?fetchState=true&top=2", headers=headers)
        found += [row for row in page.json() if row["entityId"]["key"].startswith("page")]
        token = page.headers.get("x-ms-continuation-token", "")
        if not token:
            break

    assert [row["state"] for row in found] == [1, 2, 3]
    assert found[0]["lastOperationTime"].endswith("Z")


def test_one_operation_at_a_time_per_entity(sample: Any, eventually: Callable[..., Any]) -> None:
    """Operations of one entity never overlap; those of different entities do."""
    keys = ["serial0", "serial1", "serial2"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: sample.signal(key, "slow_add", 1), keys * 8))
    eventually(lambda: all(sample.state_of(key) == 8 for key in keys))

    events = [note for note in sample.notes() if note.get("key") in keys]
    for key in keys:
        assert [event["event"] for event in events if event["key"] == key] == ["begin", "end"] * 8
    assert any(one["event"] == two["event"] == "begin" for one, two in itertools.pairwise(events))


def test_acknowledged_signals_survive_a_kill(launch: Callable[..., Any], eventually: Callable[..., Any]) -> None:
    """A kill -9 in the middle of the work loses no signal that was answered with 202, and counts none twice."""
    app = launch()
    acknowledged = [app.signal(f"k{number % 3}", "slow_add", 1).status for number in range(45)].count(202)
    app.host.kill()

    again = launch()

    assert acknowledged == 45
    eventually(lambda: [again.state_of(f"k{number}") for number in range(3)] == [15, 15, 15])


def test_the_log_names_failed_operations(sample: Any, eventually: Callable[..., Any]) -> None:
    """A failed operation is logged with its entity; its input is not."""
    sample.signal("noisy", "set_then_raise", "private-input")

    eventually(lambda: "Error in operation 'set_then_raise' of @counter@noisy" in sample.host_log())
    assert "private-input" not in sample.host_log()
    assert sample.state_of("noisy") == 999
