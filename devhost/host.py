"""The host: assembles the triggers of one app, starts them in order and stops them in order."""

import asyncio
import dataclasses
import functools
import importlib
import itertools
import json
import logging
import os
import zoneinfo
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from devhost.admin import Admin, Runner
from devhost.console import function_list
from devhost.durable.mailbox import Mailboxes
from devhost.durable.protocol import client_binding
from devhost.durable.rpc import DurableRoutes
from devhost.durable.store import EntityStore
from devhost.errors import StartupError
from devhost.http_trigger import MAX_BODY, HttpTrigger
from devhost.index import ENTITY, HTTP, SERVICE_BUS, TIMER, Function, load_app
from devhost.invoke import Dispatcher, Invoker
from devhost.keys import Keys
from devhost.ncrontab import Schedule
from devhost.origin_guard import OriginGuard, guard_middleware
from devhost.ports import bind, bind_first, port_of
from devhost.serving import WEBHOOKS, guard_webhooks, serve
from devhost.settings import (
    ServiceBusConnection,
    expand,
    is_disabled,
    load_app_settings,
    load_host_options,
    service_bus_connection,
    worker_count,
)
from devhost.timer_trigger import StatusFile, TimerTrigger
from devhost.workers.control import WorkerControl

if TYPE_CHECKING:
    from devhost.servicebus_trigger import ServiceBusTrigger

#: Ports the Durable extension falls back to when its own is taken.
_RPC_FALLBACK = range(30000, 31001)
#: Seconds running invocations get to finish when the host stops.
GRACE_S = 5.0
_log = logging.getLogger("devhost.host")


@dataclass(frozen=True, kw_only=True)
class HostArguments:
    """The command line options."""

    root: Path
    host: str = "127.0.0.1"
    #: 0 takes a free port, as for `rpc_port`.
    port: int = 7071
    rpc_port: int = 17071
    #: Directory of the host's own state, below the root unless absolute.
    state: Path = Path(".devhost")
    enforce_keys: bool = False
    #: Names by which the host may be called besides those of this machine.
    allowed_hosts: tuple[str, ...] = ()
    #: Processes that run functions; None leaves it to the setting FUNCTIONS_WORKER_PROCESS_COUNT.
    workers: int | None = None
    #: Tell of everything in the log.
    verbose: bool = False


class Host:
    """One running app."""

    def __init__(self, arguments: HostArguments) -> None:
        """Read the settings and bind the ports.

        Raises:
            StartupError: The app cannot run here; the message says why.
        """
        self._arguments = arguments
        self._state = arguments.root / arguments.state
        load_app_settings(arguments.root, os.environ)
        self._options = load_host_options(arguments.root, os.cpu_count() or 1, os.environ)
        self._listener = bind(arguments.host, arguments.port, "--port (0 takes a free one)")
        rpc_ports = itertools.chain([arguments.rpc_port], _RPC_FALLBACK)
        self._rpc_listener = bind_first("127.0.0.1", rpc_ports, "--rpc-port")
        shown = "localhost" if arguments.host in {"0.0.0.0", "::"} else arguments.host  # noqa: S104 - compared, not bound
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port_of(self._listener)}"
        self.workers = worker_count(arguments.workers, os.environ)
        self.control_url = f"http://127.0.0.1:{port_of(self._rpc_listener)}/workers"
        try:
            self._origin_guard = OriginGuard.for_host(arguments.host, arguments.allowed_hosts)
        except ValueError as error:
            raise StartupError(f"--allow-host: {error}") from error

    def describe(self) -> list[str]:
        """Return the lines that list the app's functions."""
        return function_list(self.functions, self.disabled, self._options.route_prefix, self.url)

    async def start(self) -> None:
        """Load the app, start listening, then start every other trigger.

        Raises:
            StartupError: The app cannot run here; the message says why.
        """
        durable = self._options.durable
        rpc_url = f"http://127.0.0.1:{port_of(self._rpc_listener)}/durabletask/"
        client = client_binding(durable.hub_name, self.url + WEBHOOKS, rpc_url)
        self._invoker = await self._load(client)
        try:
            await self._start_triggers()
        except BaseException:
            await self._invoker.aclose()
            raise

    async def _start_triggers(self) -> None:
        self._timers = [self._timer(item) for item in self._of_type(TIMER)]
        queues = [self._queue(item) for item in self._of_type(SERVICE_BUS)]
        self._buses: list[ServiceBusTrigger] = []
        self._buses_made = asyncio.Event()
        self._store = EntityStore(self._state / "entities.sqlite")
        self._mailboxes = Mailboxes(
            {str(item.trigger.get("entityName") or item.name).lower(): item for item in self._of_type(ENTITY)},
            self._store,
            self._invoker,
            max_concurrent=self._options.durable.max_concurrent_entities,
            max_batch_size=self._options.durable.max_entity_batch_size,
            now=lambda: datetime.now(UTC),
        )
        routes = DurableRoutes(self._store, self._mailboxes)
        # Only the SDK's client calls this port, so no visits by links are accepted.
        rpc_guard = dataclasses.replace(self._origin_guard, links=False)
        rpc = web.Application(client_max_size=MAX_BODY, middlewares=[guard_middleware(rpc_guard)])
        routes.add_routes(rpc.router, "/durabletask")
        WorkerControl(self._pool).add_routes(rpc.router, "/workers")
        self._runners = [await serve(self._web_app(routes), self._listener), await serve(rpc, self._rpc_listener)]
        self._mailboxes.start()
        self._timer_tasks = [asyncio.create_task(timer.run()) for timer in self._timers]
        if queues:
            # Requests are answered from here on. Importing the SDK takes a fifth of the host's start, so it comes
            # afterwards, while requests are already answered.
            await asyncio.to_thread(importlib.import_module, "devhost.servicebus_trigger")
            self._buses = [self._bus(*queue) for queue in queues]
        self._buses_made.set()
        for bus in self._buses:
            bus.start()

    async def stop(self) -> None:
        """Accept no new work, let running invocations finish for a few seconds, then end everything."""
        # The SDK's client keeps an HTTP session for the life of the process and never closes it.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        for runner in self._runners:
            for site in list(runner.sites):
                await site.stop()
        self._mailboxes.quiesce()
        for trigger in (*self._buses, *self._timers):
            trigger.quiesce()
        if left := await self._invoker.drain(GRACE_S):
            _log.warning("%d invocations are still running and will be interrupted", left)
        for task in self._timer_tasks:
            task.cancel()
        stops: list[Awaitable[object]] = [
            *(bus.stop() for bus in self._buses),
            self._mailboxes.stop(),
            *self._timer_tasks,
        ]
        await asyncio.gather(*stops, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        await self._invoker.aclose()
        self._store.close()

    async def _load(self, client_value: str) -> Dispatcher:
        """Load the app, here or in worker processes, and return its dispatcher."""
        timeout_s = self._options.function_timeout_s
        if self.workers == 1:
            self._pool = None
            self._index(load_app(self._arguments.root))
            return Invoker(timeout_s=timeout_s, client_value=client_value)
        from devhost.workers.pool import WorkerPool  # noqa: PLC0415 - few use it
        from devhost.workers.wire import Start  # noqa: PLC0415

        self._pool = pool = WorkerPool(
            self.workers,
            Start(
                root=str(self._arguments.root),
                timeout_s=timeout_s,
                client_value=client_value,
                verbose=self._arguments.verbose,
            ),
        )
        self._index(await pool.start())
        return pool

    def _index(self, functions: list[Function]) -> None:
        self.functions = functions
        self.disabled = frozenset(item.name for item in functions if is_disabled(item.name, os.environ))
        self._enabled = [item for item in functions if item.name not in self.disabled]

    def _of_type(self, kind: str) -> list[Function]:
        return [item for item in self._enabled if item.type == kind]

    def _web_app(self, durable: DurableRoutes) -> web.Application:
        keys = self._keys() if self._arguments.enforce_keys else None
        try:
            http = HttpTrigger(self._of_type(HTTP), self._options.route_prefix, self._invoker, keys)
        except ValueError as error:
            raise StartupError(str(error)) from error
        runners: dict[str, Runner] = {timer.name: timer.run_now for timer in self._timers}
        runners.update({item.name: functools.partial(self._run_bus, item.name) for item in self._of_type(SERVICE_BUS)})
        guards = [guard_middleware(self._origin_guard), *([guard_webhooks(keys)] if keys else [])]
        app = web.Application(client_max_size=MAX_BODY, middlewares=guards)
        Admin({item.name.lower(): item for item in self.functions}, runners, keys).add_routes(app.router)
        durable.add_routes(app.router, WEBHOOKS)
        app.router.add_route("*", r"/{path:(?s:.*)}", http.handle)  # a line break too
        return app

    def _keys(self) -> Keys:
        path = self._state / "keys.json"
        keys, new = Keys.load(path, [item.name for item in self.functions])
        if new:
            print(f"Keys (kept in {path}):\n  master: {keys.master}\n  host: {keys.host}")
            for name, key in keys.functions.items():
                print(f"  {name}: {key}")
        return keys

    def _timer(self, function: Function) -> TimerTrigger:
        zone_name = os.environ.get("WEBSITE_TIME_ZONE")
        try:
            schedule = Schedule.parse(expand(str(function.trigger["schedule"]), os.environ))
            # Without the setting schedules are in UTC, as on the Flex Consumption plan.
            zone = zoneinfo.ZoneInfo(zone_name) if zone_name else UTC
        except (ValueError, zoneinfo.ZoneInfoNotFoundError, StartupError) as error:
            raise StartupError(f"Function '{function.name}': {error}") from error
        return TimerTrigger(
            function, schedule, StatusFile(self._state / "timers.json"), self._invoker, lambda: datetime.now(zone)
        )

    def _queue(self, function: Function) -> tuple[Function, str, ServiceBusConnection]:
        """Return a Service Bus function with its queue and connection."""
        if not function.trigger.get("autoCompleteMessages", self._options.service_bus.auto_complete_messages):
            raise StartupError(f"Function '{function.name}': autoCompleteMessages=false is not supported by devhost")
        try:
            connection = service_bus_connection(str(function.trigger["connection"]), os.environ)
            return function, expand(str(function.trigger["queueName"]), os.environ), connection
        except StartupError as error:
            raise StartupError(f"Function '{function.name}': {error}") from error

    def _bus(self, function: Function, queue: str, connection: ServiceBusConnection) -> "ServiceBusTrigger":
        from devhost.servicebus_client import connect  # noqa: PLC0415 - see _start_triggers
        from devhost.servicebus_trigger import ServiceBusTrigger  # noqa: PLC0415

        try:
            return ServiceBusTrigger(function, queue, connect(connection), self._options.service_bus, self._invoker)
        except ValueError as error:
            raise StartupError(f"Function '{function.name}': {error}") from error

    async def _run_bus(self, name: str, text: str) -> None:
        await self._buses_made.wait()
        await next(bus for bus in self._buses if bus.name == name).run_now(text)


async def run(
    arguments: HostArguments, ready_file: Path | None, stopping: asyncio.Event, say: Callable[[str], None]
) -> None:
    """Run an app until `stopping` is set.

    Args:
        arguments: What to run.
        ready_file: Where to write `{"url", "pid"}` once everything listens.
        stopping: Set it to stop the host.
        say: Prints a line for the user.

    Raises:
        StartupError: The app cannot run here; the message says why.
    """
    host = Host(arguments)
    await host.start()
    try:
        for line in host.describe():
            say(line)
        if host.workers > 1:
            say(f"{host.workers} worker processes run the functions; PUT {host.control_url} changes how many.")
        if not arguments.verbose:
            say("While idle, only problems are logged; --verbose also logs the runs of timers and their messages.")
        if ready_file:
            scratch = ready_file.with_name(f"{ready_file.name}.{os.getpid()}.tmp")
            scratch.write_text(json.dumps({"url": host.url, "pid": os.getpid()}), encoding="utf-8")
            scratch.replace(ready_file)
        say(f"Host ready on {host.url}")
        await stopping.wait()
    finally:
        await host.stop()
