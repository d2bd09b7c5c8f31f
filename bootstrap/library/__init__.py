"""The registry as a library: agents that are made once and reused, in a script or notebook, without a Functions host.

    from lifecycle import ProductionAgent

    async with ProductionAgent("helper", model="gpt-5-mini", instructions="Be brief.") as agent:
        print((await agent.run("What is a durable entity?")).answer)

Runs, sessions, costs, budgets and scores are those of the app: the same services, on storage of the caller's choice.
"""

from bootstrap.library.agent import ProductionAgent
from bootstrap.library.manager import ManagerStats, ProductionAgentManager
from bootstrap.library.progress import Progress

__all__ = ["ManagerStats", "ProductionAgent", "ProductionAgentManager", "Progress"]
