"""Import time of a cold start."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Result

ROOT = Path(__file__).parent.parent
_TIMES = 9


def cold_start() -> list[Result]:
    """Return the time to import the app, compared with the two libraries that every Functions app needs."""
    bare, app = "import azure.functions, azure.durable_functions", "import function_app"
    took: dict[str, list[float]] = {bare: [], app: []}
    for _ in range(_TIMES):
        for statement, times in took.items():
            times.append(_seconds(statement))
    bare_s, app_s = min(took[bare]), min(took[app])  # the smallest of each; other load only adds
    return [
        Result(
            "import function_app",
            f"{app_s * 1000:.0f} ms",
            f"azure.functions + azure.durable_functions {bare_s * 1000:.0f} ms",
            f"{app_s / bare_s:.2f}×",
        )
    ]


def _seconds(statement: str) -> float:
    environment = {
        "TablesConnection": "UseDevelopmentStorage=true",
        "ServiceBusConnection": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=x;SharedAccessKey=y",
    }
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, env=environment, check=True)
    return time.perf_counter() - started
