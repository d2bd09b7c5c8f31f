"""The demo of all main features over the whole local stack, unattended.

    python -m examples.demo

It starts Azurite, the Service Bus emulator and the app on free ports with their own data, and stops them afterwards.
The exit code is 0 only if every expectation that it prints was met.
"""

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from agent_lifecycle_client import Client
from rich.console import Console

from devhost.services import start_azurite, start_host, start_service_bus
from examples.demo.job import main_job, prune
from examples.demo.kit import Kit
from examples.demo.operating import alert, approvals, budget, live, quality
from examples.demo.teams import teams
from examples.demo.tools import tools
from examples.register import register

ROOT = Path(__file__).parents[2]
TOPOLOGY = ROOT / "devhost/servicebus/topology.json"
TIMERS = [
    f"{name}_SCHEDULE" for name in ("ALERT", "DEAD_LETTER", "EVALUATION", "NOTIFY", "PRUNE", "REPORT", "SESSION_EXPIRY")
]
NEVER = "0 0 0 1 1 *"
SETTINGS = {
    # The demo runs the timers itself, and cannot wait a week for an agent to become idle.
    **dict.fromkeys(TIMERS, NEVER),
    "IDLE_AFTER_S": "1",
    "KEEP_NEW_FOR_S": "0",
    "RECORD_USE_EVERY_S": "0.2",
    "AGENT_CACHE_TRUST_S": "0.5",
    "RUN_RETRY_BASE_S": "0.05",
    "BUDGET_TRUST_S": "0.5",
    "PRUNE_GRACE_S": "0",
    "WEBHOOKS_ALLOW_PRIVATE": "true",
}


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
        console.print(
            f"While this runs, the web app shows it: {host.url}/api/app (`make sample` keeps one open).", soft_wrap=True
        )
        console.print("Declaring the example agents …")
        await register(host.url)
        console.print("Running the main job …")
        async with aiohttp.ClientSession(host.url) as http, Client(host.url) as client:
            kit = Kit(http, client, bus.connection_string, console)
            await main_job(kit)
            await live(kit)
            await budget(kit)
            await tools(kit)
            await approvals(kit)
            await teams(kit)
            await quality(kit)
            await alert(kit)
            await prune(kit)
    console.print()
    console.print(kit.table)
    return int(kit.failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
