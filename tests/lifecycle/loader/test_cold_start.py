"""A worker's first idle moment takes what a first run would otherwise pay: imports of seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
_WORKER = """
import asyncio, sys
from bootstrap.services import Services
from kernel.settings import Settings
from lifecycle.specs.spec import AgentSpec

HEAVY = ("agent_framework", "openai", "genai_prices", "lifecycle.runs.worker", "adapters.providers.openai_client")

async def main():
    services = Services.in_memory(Settings.of({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}))
    signals = services.agents.local_signals()
    declared = AgentSpec(provider="openai", model="gpt-5-mini")
    await services.agents.administration.declare("default", "a", declared, signals)
    await services.agents.administration.prewarm("default", "a", signals)
    print([name for name in HEAVY if name in sys.modules])
    services.agents.preloader.wake()
    await services.agents.preloader.finished()
    print([name for name in HEAVY if name in sys.modules])
    await services.agents.rankings.request([("default", "a")])
    await services.agents.preloader.optimize()
    await services.agents.preloader.finished()
    print([name for name in HEAVY if name not in sys.modules])
    await services.aclose()

asyncio.run(main())
"""


def test_what_a_first_run_imports_is_imported_before_it() -> None:
    """Where there is an agent to be preloaded; a worker that has none, and one that starts, imports nothing."""
    done = subprocess.run(
        [sys.executable, "-c", _WORKER], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "[]", "[]"]
