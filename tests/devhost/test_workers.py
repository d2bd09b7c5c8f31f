"""Several worker processes: the host keeps the triggers, and no death of a worker loses anything."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from adapters.local_scale import LocalScale
from devhost.services import PROJECT, ServiceBus, start_host, start_service_bus
from devhost.workers.control import WorkerControl
from kernel.errors import AppError, Conflict
from llmops.capacity.scaling_forecast import ScalingPolicy, SiteScale, commands
from tests.lifecycle.app import App
from tests.waiting import QUIET_S, eventually_now

APP = Path(__file__).parent / "apps/pool"
LIMITS = {"LockDuration": "PT30S", "MaxDeliveryCount": 5, "RequiresSession": True}
TOPOLOGY = {"UserConfig": {"Namespaces": [{"Name": "ns", "Queues": [{"Name": "sessions", "Properties": LIMITS}]}]}}
TIMEOUT_S = QUIET_S


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBus]:
    with start_service_bus(TOPOLOGY, tmp_path_factory.mktemp("pool-bus")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, bus: ServiceBus, observe: Callable[..., Any]) -> Iterator[Any]:
    """A host with two workers, for tests that leave both alive and idle."""
    base = tmp_path_factory.mktemp("pool")
    env = {"SAMPLE_LOG": str(base / "log"), "Bus": bus.connection_string, "FUNCTIONS_WORKER_PROCESS_COUNT": "2"}
    with start_host(APP, env, state_dir=base / "state") as host:
        yield observe(host, base / "log", base / "state")


@pytest.fixture
def fresh(launch: Callable[..., Any], bus: ServiceBus) -> Callable[..., Any]:
    """Start a host with two workers that a test may harm."""
    return lambda app="pool": launch(app, options=("--workers", "2"), Bus=bus.connection_string)


@pytest.fixture(scope="module")
def _mending(tmp_path_factory: pytest.TempPathFactory, bus: ServiceBus, observe: Callable[..., Any]) -> Iterator[Any]:
    base = tmp_path_factory.mktemp("mending")
    env = {"SAMPLE_LOG": str(base / "log"), "Bus": bus.connection_string}
    with start_host(APP, env, state_dir=base / "state", options=("--workers", "2")) as host:
        yield observe(host, base / "log", base / "state")


@pytest.fixture
def mending(_mending: Any, eventually: Callable[..., Any]) -> Any:
    """A host with two workers, which a test may kill: those of the test before have been replaced."""
    eventually(lambda: len(_workers(_mending)) == 2)
    return _mending


def _workers(app: Any) -> set[int]:
    """Return the processes that have loaded the app and are alive."""
    return {note["pid"] for note in app.notes(event="loaded") if _lives(note["pid"])}


def _at_once(app: Any, count: int, path: str = "/api/pid?s=0.2") -> list[Any]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: app.call("GET", path), range(count)))


def test_each_worker_loads_the_app_and_the_host_does_not(pool: Any) -> None:
    """Two processes load it, and requests at the same time are shared between them."""
    pids = {note["pid"] for note in pool.notes(event="loaded")}

    answers = [answer.json()["pid"] for answer in _at_once(pool, 8)]

    assert (len(pids), pool.host.child.pid in pids) == (2, False)
    assert set(answers) == pids
    assert "2 worker processes run the functions; PUT http://127.0.0.1:" in pool.host_log()
    assert "of_session" in pool.host_log()


def _planned(address: str, count: int) -> int:
    """Apply a plan of so many instances through the app that the settings make, and return how many there are."""

    async def apply() -> int:
        scaling = App(SCALING_APPLY="true", SCALING_SITE=address).services.scaling
        await scaling.store.put(ScalingPolicy(min_instances=count, max_instances=count), None)
        plan, _ = await scaling.scaler.recommend()
        assert list(commands(plan, None, "", "")) == [f"python -m devhost --workers {count}"]
        _, after = await scaling.scaler.apply(plan.id, "default", "")
        again, _ = await scaling.scaler.recommend()
        assert again.scale == after
        return after.maximum_instances

    return asyncio.run(apply())


def test_a_plan_sets_the_number_of_processes(pool: Any) -> None:
    """Another one has loaded the app once it is applied; one that is too many ends when what it runs has."""
    [address] = set(re.findall(r"PUT (http://\S+/workers)", pool.host_log()))
    before, sleeping = _workers(pool), len(pool.notes(event="sleeping"))
    counts = [_planned(address, 3)]
    more = _workers(pool)
    with ThreadPoolExecutor(1) as threads:
        answers = threads.submit(_at_once, pool, 6, "/api/pid?s=1")
        eventually_now(lambda: len(pool.notes(event="sleeping")) >= sleeping + 6)
        counts.append(_planned(address, 2))
        seen = {answer.json()["pid"] for answer in answers.result()}
    eventually_now(lambda: len(_workers(pool)) == 2)

    assert (counts, len(before), len(more)) == ([3, 2], 2, 3)
    assert seen == more
    assert _workers(pool) == before
    assert {answer.json()["pid"] for answer in _at_once(pool, 8)} == before


def test_a_number_of_processes_that_cannot_be_is_refused(pool: Any) -> None:
    [address] = set(re.findall(r"PUT (http://\S+/workers)", pool.host_log()))
    with pytest.raises(Conflict) as refused:
        asyncio.run(LocalScale(address).write(SiteScale(maximum_instances=11)))

    assert refused.value.code == "scaling_refused"
    assert asyncio.run(LocalScale(address).read()).maximum_instances == 2


async def test_a_host_of_one_process_and_what_is_no_devhost_say_what_to_do() -> None:
    """A host whose functions run in its own process says how to start it; so does another server, and none."""
    app = web.Application()
    WorkerControl(None).add_routes(app.router, "/workers")
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    found: list[str] = []
    for address in (f"{url}/workers", f"{url}/", "http://127.0.0.1:1/workers"):
        with pytest.raises(AppError) as refused:
            await LocalScale(address).write(SiteScale(maximum_instances=2))
        found.append(refused.value.code)
    count = (await LocalScale(f"{url}/workers").read()).maximum_instances
    await runner.cleanup()

    assert (count, found) == (1, ["scaling_not_supported", "scaling_not_supported", "scaling_unavailable"])


def test_a_response_is_whole(pool: Any) -> None:
    """Status, headers, cookies, texts of the app's own classes and the context pass between the processes."""
    answer = pool.call("GET", "/api/pid")

    assert (answer.status, answer.headers["content-type"], answer.headers["x-a"]) == (200, "application/json", "1")
    assert answer.headers["set-cookie"] == "a=b; Path=/"
    assert answer.json()["name"] == "pid"


def test_large_bodies_pass_both_ways(pool: Any) -> None:
    """Twenty megabytes are no trouble."""
    body = os.urandom(1024) * 20_000

    answer = pool.call("POST", "/api/mirror", body)

    assert answer.body == body


def test_a_failure_is_logged_where_it_happened(pool: Any) -> None:
    """The caller gets an empty 500, the log the one line and the traceback of the function's own code."""
    answer = pool.call("GET", "/api/boom")

    log = pool.host_log()
    assert (answer.status, answer.body) == (500, b"")
    assert log.count("GET /api/boom: failed in") == 1
    assert 'raise RuntimeError("asked to fail")' in log


def test_an_entity_runs_one_operation_at_a_time_whichever_worker(pool: Any, eventually: Callable[..., Any]) -> None:
    """Operations of a key never overlap across the workers, and none is lost."""
    keys = ["one", "two", "three"]
    with ThreadPoolExecutor(6) as threads:
        sent = list(threads.map(lambda key: pool.call("POST", f"/api/counters/{key}").status, keys * 10))

    eventually(lambda: [pool.state_of(key) for key in keys] == [10, 10, 10])
    events = [note for note in pool.notes() if note.get("key")]
    assert set(sent) == {202}
    for key in keys:
        of_key = sorted((note for note in events if note["key"] == key), key=lambda note: note["at"])
        assert [note["event"] for note in of_key] == ["begin", "end"] * 10


def test_a_timer_runs_in_one_worker(pool: Any, eventually: Callable[..., Any]) -> None:
    """A run on demand is one run, not one for each worker."""
    assert pool.call("POST", "/admin/functions/tick").status == 202

    eventually(lambda: "tick: succeeded in" in pool.host_log())
    assert len(pool.notes(event="tick")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_dies_is_replaced(mending: Any, eventually: Callable[..., Any]) -> None:
    """A request whose worker is killed is a 500, the other worker goes on, and soon there are two again."""
    app = mending
    before, replaced = _workers(app), app.host_log().count("starting another")

    assert app.call("GET", "/api/die").status == 500
    assert app.call("GET", "/api/pid").status == 200
    eventually(lambda: len(_workers(app) - before) == 1)
    assert app.host_log().count("starting another") == replaced + 1
    eventually(lambda: {answer.json()["pid"] for answer in _at_once(app, 8)} == _workers(app))
    assert len(_workers(app)) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_request_waits_while_no_worker_is_there(mending: Any, eventually: Callable[..., Any]) -> None:
    """With every worker killed a request is answered by a new one."""
    app = mending
    before, replaced = _workers(app), app.host_log().count("starting another")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: app.host_log().count("starting another") == replaced + 2)

    answer = _call_slowly(app, "/api/pid")

    assert answer.status == 200
    assert answer.json()["pid"] not in before


async def test_messages_of_a_killed_worker_come_again(
    launch: Callable[..., Any], tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    """A kill -9 in the middle of eight messages loses none: each is delivered again, in order, and ends once."""
    sessions = [f"kill{number}" for number in range(8)]
    with start_service_bus(TOPOLOGY, tmp_path / "bus") as own:
        app = launch("pool", options=("--workers", "2"), Bus=own.connection_string)
        async with (
            ServiceBusClient.from_connection_string(own.connection_string) as client,
            client.get_queue_sender("sessions") as sender,
        ):
            for session in sessions:
                for n in range(2):
                    await sender.send_messages(ServiceBusMessage(json.dumps({"n": n}), session_id=session))
        begun = await asyncio.to_thread(eventually, lambda: _all_began(app, sessions))
        victim = begun[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(eventually, lambda: "starting another" in app.host_log())
        (tmp_path / "gate").touch()
        await asyncio.to_thread(eventually, lambda: len(app.notes(event="ended")) >= 16)

    hurt = {note["session"] for note in begun if note["pid"] == victim}
    for session in sessions:
        ended = [note for note in app.notes(event="ended") if note["session"] == session]
        assert [(note["n"], note["delivery"]) for note in ended] == [(0, 2 if session in hurt else 1), (1, 1)]
    assert 0 < len(hurt) < 8


def _all_began(app: Any, sessions: list[str]) -> list[dict[str, Any]] | None:
    began = app.notes(event="began")
    return began if {note["session"] for note in began} == set(sessions) else None


def test_entity_operations_of_killed_workers_count_once(mending: Any, eventually: Callable[..., Any]) -> None:
    """The batch of a worker that dies runs again, and its effect on the state is once."""
    app = mending
    for number in range(30):
        assert app.signal(f"k{number % 3}", "slow_add", 1).status == 202
        if number in {10, 20}:
            os.kill(min(_workers(app)), signal.SIGKILL)

    eventually(lambda: [app.state_of(f"k{number}") for number in range(3)] == [10, 10, 10])


def test_a_function_that_never_yields_takes_its_worker_at_the_limit(
    fresh: Callable[..., Any], eventually: Callable[..., Any], tmp_path: Path
) -> None:
    """Nothing can interrupt it from within: the process is replaced, and the caller has a 500."""
    shutil.copytree(APP, tmp_path / "app")
    (tmp_path / "app/host.json").write_text('{"version": "2.0", "functionTimeout": "00:00:01"}')
    app = fresh(tmp_path / "app")

    answer = _call_slowly(app, "/api/hang")

    hung = app.notes(event="hang")[0]["pid"]
    assert answer.status == 500
    eventually(lambda: not _lives(hung) and len(_workers(app)) == 2)
    assert f"Worker process {hung} does not answer and is replaced" in app.host_log()
    assert _call_slowly(app, "/api/pid").status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_no_worker_outlives_its_host(fresh: Callable[..., Any], how: str, eventually: Callable[..., Any]) -> None:
    """Stopped or killed, even with a function that never yields, the host leaves no process behind."""
    app = fresh()
    workers = _workers(app)
    hanging = threading.Thread(target=_ignore, args=(app, "/api/hang"))
    hanging.start()
    eventually(lambda: app.notes(event="hang"))

    if how == "stop":
        app.host.stop()
    else:
        os.kill(app.host.child.pid, signal.SIGKILL)
    hanging.join()

    assert len(workers) == 2
    eventually(lambda: not [pid for pid in workers if _lives(pid)])


def test_running_requests_are_answered_before_the_end(
    fresh: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    """A stop lets the workers finish what they run."""
    app = fresh()
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(_call_slowly(app, "/api/pid?s=2"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(app.notes(event="sleeping")) == 2)

    code = app.host.child.stop()
    for thread in threads:
        thread.join()

    assert [answer.status for answer in answers] == [200, 200]
    assert code == 0


def test_an_app_that_cannot_be_loaded_is_said_by_the_host(tmp_path: Path) -> None:
    """What a worker cannot load stops the start with the worker's reason."""
    (tmp_path / "function_app.py").write_text("nothing = 1\n")

    command = [sys.executable, "-m", "devhost", "--port", "0", "--rpc-port", "0", "--workers", "2", "--root", tmp_path]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "devhost: function_app.py must define exactly one function app, found 0"


def _call_slowly(app: Any, path: str) -> Any:
    return app.call("GET", path, timeout_s=TIMEOUT_S)


def _ignore(app: Any, path: str) -> None:
    with contextlib.suppress(OSError):
        _call_slowly(app, path)


def _lives(pid: int) -> bool:
    """Whether a process runs; one that its new parent has not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
