"""A tool server of the Model Context Protocol, to try an agent's `mcp` tools with.

`python -m examples.mcp_server 8765` serves streamable HTTP at http://127.0.0.1:8765/mcp.
"""

import sys

import uvicorn
from mcp.server import MCPServer

STOCK = {"lamp": 12, "chair": 0}

server = MCPServer("warehouse", log_level="WARNING")


@server.tool()
async def stock(item: str) -> str:
    """Say how many of an item are in stock."""
    found = next((name for name in STOCK if name in item.lower()), None)
    return f"{STOCK[found]} of {found}" if found else "There is no such item."


if __name__ == "__main__":
    app, port = server.streamable_http_app(), int(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)
