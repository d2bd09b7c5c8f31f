"""What the failures of a Foundry project mean, and what is repeated."""

from __future__ import annotations

import pytest

from kernel.errors import AppError, ProviderRejected, Unavailable
from lifecycle.registry.providers import ProviderVersion
from tests.contracts.providers.conftest import FOUNDRY_SPEC as SPEC
from tests.contracts.providers.conftest import NOW, ask, foundry_at, wanted
from tests.contracts.providers.metering import Meter
from tests.fakes.foundry_faults import Fault
from tests.fakes.foundry_server import FakeFoundry
from tests.waiting import QUIET_S

MEANINGS: list[tuple[Fault, type[AppError], str]] = [
    ("throttled", Unavailable, "provider_throttled"),
    ("server_error", Unavailable, "provider_unavailable"),
    ("unavailable", Unavailable, "provider_unavailable"),
    ("conflict", Unavailable, "provider_unavailable"),
    ("reset", Unavailable, "provider_unavailable"),
    ("invalid", ProviderRejected, "provider_rejected"),
    ("auth", ProviderRejected, "provider_auth"),
    ("forbidden", ProviderRejected, "provider_auth"),
    ("preview", ProviderRejected, "preview_feature_required"),
    ("html", Unavailable, "provider_unavailable"),
]
IN_A_RUN: list[tuple[Fault, type[AppError], str]] = [
    ("quota", ProviderRejected, "provider_rejected"),
    ("not_found", Unavailable, "agent_version_gone"),
    ("no_deployment", ProviderRejected, "provider_rejected"),
    ("content_filter", ProviderRejected, "content_filter"),
    ("answer_filtered", ProviderRejected, "content_filter"),
    ("failed", Unavailable, "provider_unavailable"),
]


async def failure(foundry: FakeFoundry, fault: Fault, *, stream: bool = False, timeout_s: float = QUIET_S) -> AppError:
    """Return what a run that must fail is translated into."""
    async with foundry_at(foundry, timeout_s=timeout_s) as provider:
        agent = provider.open(await provider.create(wanted(SPEC)), SPEC)
        foundry.fail_next(fault, on="create_response", retry_after_s=30)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
            await ask(agent, "my secret diary", stream=stream)
        return provider.translate(caught.value)


@pytest.mark.parametrize(("fault", "kind", "code"), [*MEANINGS, *IN_A_RUN])
@pytest.mark.parametrize("stream", [False, True])
async def test_every_fault_of_a_run_has_its_meaning(
    foundry: FakeFoundry, fault: Fault, kind: type[AppError], code: str, stream: bool
) -> None:
    """Each way a call can fail is one of our errors, is not repeated at once, and quotes no prompt."""
    error = await failure(foundry, fault, stream=stream)

    assert (type(error), error.code) == (kind, code)
    assert "diary" not in error.detail
    assert foundry.counts["create_response"] == 1


@pytest.mark.parametrize(("fault", "kind", "code"), MEANINGS)
async def test_every_fault_of_the_registry_has_its_meaning(
    foundry: FakeFoundry, fault: Fault, kind: type[AppError], code: str
) -> None:
    """So it is for what manages agents; a create above all is never repeated, as its first try may have worked."""
    foundry.fail_next(fault, on="create_version", retry_after_s=30)
    async with foundry_at(foundry) as provider:
        with pytest.raises(AppError) as caught:
            await provider.create(wanted(SPEC.model_copy(update={"instructions": "my secret diary"})))

    assert (type(caught.value), caught.value.code) == (kind, code)
    assert "diary" not in caught.value.detail
    assert (caught.value.retry_after_s == 30) == (fault in ("throttled", "server_error", "unavailable", "conflict"))
    assert foundry.counts["create_version"] == 1


@pytest.mark.parametrize("fault", ["truncated", "stream_error"])
async def test_half_a_stream_is_no_answer(foundry: FakeFoundry, fault: Fault) -> None:
    """A stream that just ends, or says that it broke, is an outage, not an answer."""
    assert (await failure(foundry, fault, stream=True)).code == "provider_unavailable"


async def test_a_missing_role_is_named(foundry: FakeFoundry) -> None:
    """401 and 403 say which role the identity needs and where."""
    assert "'Foundry User'" in (await failure(foundry, "forbidden")).detail


async def test_a_rejection_says_what_was_wrong(foundry: FakeFoundry) -> None:
    """The service's own code is passed on, it is what one searches for; its text is not."""
    foundry.fail_next("invalid", on="create_version")
    async with foundry_at(foundry) as provider:
        with pytest.raises(ProviderRejected, match=r"400 \(invalid_payload\)\.$"):
            await provider.create(wanted(SPEC))


async def test_a_version_that_is_gone_is_not_a_missing_conversation(foundry: FakeFoundry) -> None:
    """Both are 404 and both can be made again, each in its way."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        agent = provider.open(made, SPEC)
        conversation = await provider.conversation(made, "s", None) or ""
        codes: list[str] = []
        for gone in (foundry.project.conversations, foundry.project.agents):
            gone.clear()
            with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
                await agent.run("Hi", session=agent.get_session(conversation))
            codes.append(provider.translate(caught.value).code)

    assert codes == ["conversation_gone", "agent_version_gone"]


async def test_a_short_throttling_is_waited_for(foundry: FakeFoundry) -> None:
    """A throttled call was not begun, so it may be repeated, where the wait is a moment."""
    async with foundry_at(foundry) as provider:
        agent = provider.open(await provider.create(wanted(SPEC)), SPEC)
        foundry.fail_next("throttled", on="create_response", retry_after_s=0.01)

        assert (await agent.run("Hi")).text
    assert foundry.counts["create_response"] == 2


async def test_a_time_out_is_not_repeated_at_once(foundry: FakeFoundry) -> None:
    """The model may have answered and been paid for, so only the caller may try again."""
    error = await failure(foundry, "hang", timeout_s=0.1)

    assert (type(error), error.code) == (Unavailable, "provider_unavailable")
    assert foundry.counts["create_response"] == 1


async def test_a_filtered_answer_was_paid_for(foundry: FakeFoundry) -> None:
    """When the filter stops the answer, the tokens it took are metered before the run fails."""
    async with foundry_at(foundry) as provider:
        agent = provider.open(await provider.create(wanted(SPEC)), SPEC)
        for stream in (False, True):
            foundry.fail_next("answer_filtered", on="create_response")
            meter = Meter()
            with pytest.raises(ProviderRejected):
                await ask(agent, "Hi", meter, stream=stream)

            assert [call.finish_reason for call in meter.calls] == ["content_filter"]
            assert (meter.calls[0].usage or {}).get("output_token_count")


async def test_nobody_listening_is_an_outage() -> None:
    """A refused connection is an outage, for runs as for the registry."""
    async with FakeFoundry() as gone:
        pass
    async with foundry_at(gone) as provider:
        with pytest.raises(Unavailable) as managed:
            await provider.find(wanted(SPEC))
        agent = provider.open(ProviderVersion("helper", "1", "x:1", NOW), SPEC)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
            await agent.run("Hi")

        assert provider.translate(caught.value).code == managed.value.code == "provider_unavailable"
