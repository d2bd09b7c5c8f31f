"""Declare the agents in `examples/agents/` at a running app, and say what to try.

    python -m examples.register [URL]

The URL is the app's address; it defaults to DEVHOST_URL, and then to http://127.0.0.1:7071.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

import yaml

AGENTS = Path(__file__).parent / "agents"


def register(url: str) -> list[str]:
    """Declare every example agent and return their names."""
    names: list[str] = []
    for path in sorted(AGENTS.glob("*.yaml")):
        agent = yaml.safe_load(path.read_text(encoding="utf-8"))
        request = urllib.request.Request(  # noqa: S310 - the user's own address
            f"{url}/api/agents/{agent['name']}",
            json.dumps(agent["spec"]).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request) as response:  # noqa: S310 - the user's own address
            print(f"  {agent['name']}: {'declared' if response.status == 201 else 'up to date'}")
        names.append(agent["name"])
    return names


def main() -> None:
    """Register and show a line to paste."""
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DEVHOST_URL", "http://127.0.0.1:7071")
    print("\nExample agents:\n")
    try:
        register(url)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"The app at {url} cannot be reached: {error}")
    print("\nTry it:\n")
    print(f"  curl -s {url}/api/agents/tech_advisor/runs -H 'Prefer: wait=20' \\")
    print("    -H 'Content-Type: application/json' \\")
    print("""    -d '{"query": "Compare Table Storage and Cosmos DB for a registry of agents."}'""")


if __name__ == "__main__":
    main()
