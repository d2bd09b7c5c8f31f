"""Declare the agents in `examples/agents/` at a running app, and print what to try.

    python -m examples.register [URL]

The URL is the app's address; it defaults to DEVHOST_URL, and then to http://127.0.0.1:7071.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
import yaml
from agent_lifecycle_client import ApiError, Client

AGENTS = Path(__file__).parent / "agents"


async def register(url: str) -> list[str]:
    """Declare every example agent and return their names."""
    names: list[str] = []
    async with Client(url) as client:
        for path in sorted(AGENTS.glob("*.yaml")):
            agent = yaml.safe_load(path.read_text(encoding="utf-8"))
            answer = await client.call(
                "PUT",
                f"agents/{agent['name']}",
                content=json.dumps(agent["spec"]).encode(),
                headers={"Content-Type": "application/json"},
            )
            print(f"  {agent['name']}: {'declared' if answer.status_code == httpx.codes.CREATED else 'up to date'}")
            names.append(agent["name"])
    return names


def main() -> None:
    """Declare the agents, and print a command to try."""
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DEVHOST_URL", "http://127.0.0.1:7071")
    print("\nExample agents:\n")
    try:
        asyncio.run(register(url))
    except ApiError as error:
        sys.exit(str(error))
    except httpx.TransportError as error:
        sys.exit(f"The app at {url} cannot be reached: {error}")
    print("\nTry it:\n")
    print(f"  curl -s {url}/api/agents/tech_advisor/runs -H 'Prefer: wait=20' \\")
    print("    -H 'Content-Type: application/json' \\")
    print("""    -d '{"query": "Compare Table Storage and Cosmos DB for a registry of agents."}'""")
    print(f"\nOr open the web app:\n\n  {url}/api/app")


if __name__ == "__main__":
    main()
