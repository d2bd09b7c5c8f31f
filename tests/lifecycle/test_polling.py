"""What a dashboard asks for again and again costs the same however many runs there have been."""

from __future__ import annotations

from collections import Counter

from llmops.facts.fact_store import SHARDS
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables


async def looked(app: App, tables: CountingTables) -> tuple[Counter[str], int]:
    """Return the requests of everything that is polled, once the timers have added up, and the rows they read."""
    services, today = app.services, app.clock().date()
    await services.conversations.publisher.flush()
    await services.spend.aggregation.run(app.clock())
    await services.spend.daily_costs.aggregate(app.clock())
    for _ in range(2):  # the first looks may add up something themselves
        tables.reset()
        await services.status.system.look(
            services.status.today("default"), app.queue, services.runs.dead_letters(app.queue)
        )
        await services.status.analytics.read(services.status.today("default"), today, today)
        await services.performance.reader.agents("default", today, today)
        await services.metrics.lifecycle_counts.read("default", app.clock(), 1)
    return Counter(tables.operations), tables.rows_read


async def test_looking_costs_the_same_after_many_runs() -> None:
    tables = CountingTables()
    app = App(tables)
    await app.declare()
    await app.ask()
    first = await looked(app, tables)
    for _ in range(60):
        await app.ask()
    then = await looked(app, tables)

    assert then[0] == first[0]
    assert not [name for name in then[0] if name.startswith("commit")]
    assert then[1] - first[1] <= 3 * SHARDS, "sums of one day, spread over so many partitions"
    await app.aclose()
