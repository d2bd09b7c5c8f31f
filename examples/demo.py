"""The main job, unattended: register → ask → reuse → cost → prune → ask again, over the whole local stack.

    python -m examples.demo

Starts Azurite, the Service Bus emulator and the app on free ports with data of their own, and stops them afterwards.
Exits with 0 only if everything it prints came true.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from rich.console import Console
from rich.table import Table

from devhost.services import start_azurite, start_host, start_service_bus
from examples.register import register
from kernel.ids import new_id
from kernel.money import format_usd

ROOT = Path(__file__).parent.parent
TOPOLOGY = ROOT / "devhost/servicebus/topology.json"
NEVER = "0 0 0 1 1 *"
SETTINGS = {
    # The demo runs the timers itself, and cannot wait a week for an agent to become idle.
    **dict.fromkeys(("PRUNE_SCHEDULE", "REPORT_SCHEDULE", "SESSION_EXPIRY_SCHEDULE", "DEAD_LETTER_SCHEDULE"), NEVER),
    "IDLE_AFTER_S": "1",
    "KEEP_NEW_FOR_S": "0",
    "SESSION_IDLE_AFTER_S": "1",
    "RECORD_USE_EVERY_S": "0.2",
    "AGENT_CACHE_TRUST_S": "0.5",
    "RUN_RETRY_BASE_S": "0.05",
}
PATIENCE_S = 30


class Demo:
    """The steps, and what they showed."""

    def __init__(self, http: aiohttp.ClientSession, queue: str, console: Console) -> None:
        self._http = http
        self._queue = queue
        self._console = console
        self.table = Table("What was done", "What it shows", "Found", "", title="The main job", title_justify="left")
        self.failed = False

    def note(self, done: str, shows: str, found: object, *, true: bool) -> None:
        """Add a line to the table."""
        self._console.print(f"  {'ok' if true else 'NO'}  {shows}: {found}", highlight=False)
        self.table.add_row(done, shows, str(found), "[green]yes[/]" if true else "[red]NO[/]")
        self.failed = self.failed or not true

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Call the API and return the JSON it answers."""
        data = None if body is None else json.dumps(body)
        async with self._http.request(method, path, data=data, headers=headers) as response:
            text = await response.text()
            return json.loads(text) if text else None

    async def ask(self, agent: str, query: str, **more: Any) -> Any:
        """Ask an agent over HTTP and return the finished run."""
        headers = {"Prefer": "wait=25"} | ({"Idempotency-Key": more.pop("key")} if "key" in more else {})
        return await self.call("POST", f"/api/agents/{agent}/runs", {"query": query, **more}, headers)

    async def run_timer(self, name: str) -> None:
        """Run a timer now, as the host's admin route does."""
        await self.call("POST", f"/admin/functions/{name}", {"input": ""})

    async def until(self, ask: Callable[[], Awaitable[Any]], true: Callable[[Any], bool]) -> Any:
        """Return the answer once it is as wanted, or the last one when patience ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            answer = await ask()
            if true(answer) or loop.time() > deadline:
                return answer
            await asyncio.sleep(0.2)

    async def produce(self, agent: str, query: str) -> str:
        """Send a run as any Service Bus producer would, and return its id."""
        run_id = new_id()
        message = ServiceBusMessage(
            json.dumps({"agent": agent, "query": query}), message_id=run_id, session_id=f"demo-{run_id}"
        )
        client = ServiceBusClient.from_connection_string(self._queue)
        async with client, client.get_queue_sender("agent-runs") as sender:
            await sender.send_messages(message)
        return run_id

    async def show(self) -> None:
        """Do the main job."""
        first = await asyncio.gather(*(self.ask("market_analyst", f"Question {n} at once?") for n in range(20)))
        answered = sum(run["state"] == "succeeded" for run in first)
        stats = await self.call("GET", "/api/agents/market_analyst/stats")
        self.note("20 first questions at once", "all answered", f"{answered} answers", true=answered == 20)
        made = stats["versions_created"]
        self.note("", "the agent was created once", f"{made} created", true=made == 1)

        session = first[0]["session_id"]
        follow_up = await self.ask("market_analyst", "And what did I ask before?", session_id=session)
        remembers = "Question 0 at" in (follow_up.get("answer") or "")
        self.note(
            "a follow-up question", "the conversation goes on", f"turn {'2' if remembers else '1'}", true=remembers
        )

        scored = await self.ask("tech_advisor", "Which queue?", expected_topics=["model", "Service Bus"])
        quality = (scored.get("score") or {}).get("overall")
        self.note("an answer with 1 of 2 expected topics", "it is scored", f"quality {quality}", true=quality == 75)

        again = [await self.ask("tech_advisor", "The same twice.", key="demo-key") for _ in range(2)]
        same = again[0]["id"] == again[1]["id"]
        self.note("the same Idempotency-Key twice", "one run", "one run" if same else "two runs", true=same)

        run_id = await self.produce("customer_service", "Where is my order?")
        produced = await self.until(
            lambda: self.call("GET", f"/api/runs/{run_id}"), lambda run: run.get("state") == "succeeded"
        )
        self.note(
            "a message from a producer", "runs without HTTP", produced.get("state"), true=bool(produced.get("answer"))
        )

        flaky = {"model": "gpt-5-mini", "simulate": {"fail_first": 2, "fail_with": "throttled"}}
        await self.call("PUT", "/api/agents/flaky", flaky)
        retried = await self.ask("flaky", "Are you there?")
        self.note(
            "a provider that throttles twice", "retried until answered", f"attempt {retried['attempt']}",
            true=(retried["state"], retried["attempt"]) == ("succeeded", 3),
        )  # fmt: skip
        await self._costs()
        await self._prune()

    async def _costs(self) -> None:
        costs = await self.call("GET", "/api/costs")
        total = costs["total"]
        cost = format_usd(total["cost_micro_usd"])
        self.note("GET costs", "every call is priced", f"{total['calls']} calls, {cost}", true=total["calls"] == 25)
        day = costs["last"]
        for _ in range(2):
            await self.run_timer("aggregate_costs")
        report = await self.until(
            lambda: self.call("GET", f"/api/reports/{day}"), lambda found: "total" in found and found["total"] == total
        )
        same = report.get("total") == total
        self.note("the report timer, twice", "counts each call once", "equal" if same else report, true=same)

    async def _prune(self) -> None:
        async def due() -> Any:
            await self.run_timer("expire_sessions")
            return await self.call("POST", "/api/prune?dry_run=true")

        plan = await self.until(due, lambda found: sum(item["retire"] for item in found["items"]) == 3)
        idle = sorted(item["agent"] for item in plan["items"] if item["retire"])
        self.note("prune, dry run", "idle agents; not the pinned", ", ".join(idle), true=len(idle) == 3)
        await self.run_timer("prune_idle_agents")
        agent = await self.until(
            lambda: self.call("GET", "/api/agents/market_analyst"), lambda found: found["state"] == "idle"
        )
        self.note("the prune timer", "retired at the provider", agent["state"], true=agent["state"] == "idle")
        kept = await self.call("GET", "/api/agents/customer_service")
        self.note("", "the pinned agent is kept", kept["state"], true=kept["state"] == "active")
        back = await self.ask("market_analyst", "Are you back?")
        stats = await self.call("GET", "/api/agents/market_analyst/stats")
        found = f"{back['state']}, version {back['version']}, {stats['versions_created']} created"
        self.note("a question to a retired agent", "it is restored", found, true=back["state"] == "succeeded")


async def main() -> int:
    """Start the stack, run the demo and return the exit code."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="agents-demo-") as data, ExitStack() as parts:
        console.print("Starting Azurite, the Service Bus emulator and the app …")
        azurite = parts.enter_context(start_azurite(Path(data) / "azurite"))
        bus = parts.enter_context(start_service_bus(TOPOLOGY, Path(data) / "servicebus"))
        connections = {
            "AzureWebJobsStorage": azurite.connection_string,
            "TablesConnection": azurite.connection_string,
            "ServiceBusConnection": bus.connection_string,
        }
        host = parts.enter_context(start_host(ROOT, SETTINGS | connections, state_dir=Path(data) / "host"))
        console.print("Declaring the example agents …")
        register(host.url)
        console.print("Running the main job …")
        async with aiohttp.ClientSession(host.url) as http:
            demo = Demo(http, bus.connection_string, console)
            await demo.show()
    console.print()
    console.print(demo.table)
    return int(demo.failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
