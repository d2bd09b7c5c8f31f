"""What a Foundry response says of usage reaches the ledger whole or not at all, and the answer counts all the same."""

from __future__ import annotations

from typing import Any

import pytest

from llmops.spend.usage import Usage, read_usage
from tests.contracts.providers.conftest import FOUNDRY_SPEC, ask, foundry_at, wanted
from tests.contracts.providers.metering import Meter
from tests.fakes.foundry_server import FakeFoundry
from tests.fakes.openai_shapes import ABSENT


def _report(given: Any = 100, made: Any = 20, total: Any = 120, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {}}
    return {"input_tokens": given, "output_tokens": made, "total_tokens": total, **details, **more}


METERED: dict[str, tuple[Any, Usage]] = {
    "plain": (_report(), Usage(100, 0, 0, 20)),
    "no_details": (_report(input_tokens_details=None, output_tokens_details=None), Usage(100, 0, 0, 20)),
    "written": (
        _report(input_tokens_details={"cached_tokens": 10, "cache_creation_tokens": 64}),
        Usage(100, 10, 64, 20),
    ),
    "thought_apart": (_report(total=250), Usage(100, 0, 0, 150)),
}
UNMETERED: dict[str, Any] = {
    "absent": ABSENT,
    "null": None,
    "fraction": _report(100, 20.5, 120.5),
    "negative": _report(-5),
    "null_counts": _report(None, None, None),
    "cached_over_input": _report(input_tokens_details={"cached_tokens": 500}),
    "details_a_list": _report(input_tokens_details=[64]),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [*METERED, *UNMETERED])
async def test_usage_reaches_the_meter_whole_or_not_at_all(foundry: FakeFoundry, name: str, stream: bool) -> None:
    """As at any endpoint."""
    reported, expected = METERED[name] if name in METERED else (UNMETERED[name], None)
    foundry.report_next(reported)
    meter = Meter()
    async with foundry_at(foundry) as provider:
        agent = provider.open(await provider.create(wanted(FOUNDRY_SPEC)), FOUNDRY_SPEC)
        response = await ask(agent, "Hi", meter, stream=stream)
    read = read_usage(meter.calls[0].usage)

    assert response.text.startswith("heard 2 messages")
    assert (read if isinstance(read, Usage) else None) == expected
