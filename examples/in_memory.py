"""Agents as a library: no Functions host, no queue, nothing to start.

python -m examples.in_memory
"""

import asyncio

from kernel.money import format_usd
from lifecycle import AgentSpec, ProductionAgentManager


async def main() -> None:
    """Create an agent once, ask it twice, and show that it was reused."""
    spec = AgentSpec(model="gpt-5-mini", instructions="Be brief.")
    async with ProductionAgentManager() as manager:
        agent = await manager.get_or_create("helper", spec)
        for query in ("What is a durable entity?", "And what is it not?"):
            run = await agent.run(query)
            print(f"> {query}\n{run.answer}\n  {run.model}, {format_usd(run.spend.cost_micro_usd)}\n")
        again = await manager.get_or_create("helper", spec)
        await again.run("A new conversation with the same agent.")
        stats = await manager.stats()
        print(f"{stats.runs} runs, {stats.created} agent created, reused {stats.reused} times")


if __name__ == "__main__":
    asyncio.run(main())
