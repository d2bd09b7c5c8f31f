"""Tools: one of an extension, and one of a tool server of the Model Context Protocol."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.demo.kit import Kit

ROOT = Path(__file__).parents[2]


async def tools(kit: Kit) -> None:
    """Have agents call a tool of `examples/extensions` and one of `examples/mcp_server.py`."""
    clerk = {"model": "gpt-5-mini", "tools": ["order_status"], "simulate": {"call_tool": "order_status"}}
    await kit.call("PUT", "/api/agents/clerk", clerk)
    run = await kit.ask("clerk", "Where is A1001?")
    said = run["answer"] or ""
    kit.note("a tool of an extension", "it is called", run["state"], true="packed, leaves today" in said)

    with _tool_server() as url:
        warehouse = {"type": "mcp", "server_label": "warehouse", "url": url}
        keeper = {"model": "gpt-5-mini", "tools": [warehouse], "simulate": {"call_tool": "warehouse_stock"}}
        await kit.call("PUT", "/api/agents/keeper", keeper)
        run = await kit.ask("keeper", "A lamp, please.")
    said = run["answer"] or ""
    steps = await kit.call("GET", f"/api/runs/{run['id']}/steps")
    called = [step["name"] for step in steps["items"] if step["kind"] == "tool_call"]
    kit.note("a tool of an MCP server", "it is called", ", ".join(called) or "none", true="12 of lamp" in said)


@contextmanager
def _tool_server() -> Iterator[str]:
    """Run the server on a free port; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "examples.mcp_server", str(port)]
    with subprocess.Popen(command, cwd=ROOT) as process:  # noqa: S603 - ours
        try:
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()  # the app keeps its connection open
