"""A comparable app by Microsoft: one agent of `AgentFunctionApp` whose model answers by rule.

Its packages need older versions than this project's, so they are installed by pip into an environment of their own when
it is measured. It runs on this project's local host, so that only the apps differ. It polls its entity for the answer
every tenth of a second instead of every second, so that waiting does not dominate.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import aiohttp

#: What is measured, as published; the rest is what the local host needs.
_PACKAGES = (
    "agent-framework-azurefunctions==1.0.0b260922",
    "aiohttp",
    "azure-servicebus",
    "croniter",
)
_APP = """
from agent_framework import Agent, BaseChatClient, ChatResponse, Message
from agent_framework.azure import AgentFunctionApp


class Rule(BaseChatClient):
    def _inner_get_response(self, *, messages, stream, options, **kwargs):
        async def answered():
            return ChatResponse(messages=[Message(role="assistant", contents=["An answer."])], response_id="r")

        if stream:
            raise NotImplementedError
        return answered()


app = AgentFunctionApp(
    agents=[Agent(client=Rule(), name="bench", instructions="Be kind.")],
    max_poll_retries=600,
    poll_interval_seconds=0.1,
)
"""


def environment(directory: Path) -> Path:
    """Create an environment with the app's packages, and return its interpreter; takes a minute.

    Raises:
        subprocess.CalledProcessError: A package could not be installed.
    """
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *_PACKAGES], check=True, stdout=sys.stderr)
    return python


def written(directory: Path) -> Path:
    """Write the app's files, and return their directory."""
    directory.mkdir(parents=True)
    (directory / "function_app.py").write_text(_APP, encoding="utf-8")
    (directory / "host.json").write_text('{"version": "2.0"}\n', encoding="utf-8")
    return directory


async def ask(http: aiohttp.ClientSession, session: str | None) -> str:
    """Run a query in a session, or in a new one for None; return the session's id.

    Raises:
        RuntimeError: The run was not answered.
    """
    body = {"message": "How much?"} | ({"thread_id": session} if session else {})
    async with http.post("/api/agents/bench/run", json=body) as response:
        run = await response.json()
    if run.get("status") != "success":
        msg = f"a run was not answered: {run}"
        raise RuntimeError(msg)
    return run["session_id"]
