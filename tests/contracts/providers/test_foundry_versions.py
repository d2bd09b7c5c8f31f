"""Which versions in a Foundry project are found, adopted, shown and deleted, and which are left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from adapters.providers.foundry_versions import DEFINITION, digest, metadata_of
from kernel.errors import InvalidInput, Unavailable
from tests.contracts.providers.conftest import FOUNDRY_SPEC as SPEC
from tests.contracts.providers.conftest import foundry_at, wanted
from tests.fakes.foundry_server import FakeFoundry

FULL = SPEC.model_validate(
    {
        **SPEC.model_dump(),
        "temperature": 0.7,
        "tools": [
            "calculator",
            {"type": "web_search"},
            {"type": "mcp", "server_label": "d", "server_url": "https://x"},
        ],
    }
)


def numbered(number: int) -> Any:
    return SPEC.model_copy(update={"instructions": f"Number {number}."})


async def test_ours_is_found_behind_many_others(foundry: FakeFoundry) -> None:
    """The look goes through all pages of versions, not only to the latest one."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        for number in range(230):
            foundry.project.edit_in_portal("helper", instructions=f"Edit {number}")
        found = await provider.find(wanted(SPEC))

    assert found == [made]
    assert foundry.counts["list_versions"] == 4  # three pages, and the SDK's look that there is no fourth


async def test_every_one_of_ours_is_found_the_oldest_first(foundry: FakeFoundry) -> None:
    """Where several creators won, everybody finds the same versions in the same order."""
    async with foundry_at(foundry) as provider:
        await asyncio.gather(*(provider.create(wanted(SPEC)) for _ in range(3)))
        found = await provider.find(wanted(SPEC))

    assert [version.version for version in found] == ["1", "2", "3"]


@pytest.mark.parametrize("lost", ["reset", "unavailable"])
async def test_a_version_whose_creator_never_heard_of_it_is_found(foundry: FakeFoundry, lost: Any) -> None:
    """The answer to a create can get lost; it is not sent again, and the next look finds what was made."""
    foundry.fail_next(lost, on="create_version", after=True)
    async with foundry_at(foundry) as provider:
        with pytest.raises(Unavailable):
            await provider.create(wanted(SPEC))
        found = await provider.find(wanted(SPEC))

    assert [version.version for version in found] == ["1"]
    assert foundry.counts["create_version"] == 1


@pytest.mark.parametrize("keep_metadata", [False, True])
async def test_an_edit_in_the_portal_is_not_adopted(foundry: FakeFoundry, keep_metadata: bool) -> None:
    """An edited version is not what the spec says, not even when the portal took our metadata along."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(FULL))
        foundry.project.edit_in_portal("helper", keep_metadata=keep_metadata, instructions="Be rude.")
        found = await provider.find(wanted(FULL))
        listed = [each async for each in provider.inventory("tests")]

    assert found == [made]
    assert [(each.version.version, each.owner, each.intact) for each in listed] == [
        ("2", "tests" if keep_metadata else None, False),
        ("1", "tests", True),
    ]


async def test_what_lacks_our_owner_is_never_ours(foundry: FakeFoundry) -> None:
    """Neither a version of another registry nor a person's is found, though all else is the same."""
    async with foundry_at(foundry) as provider:
        theirs = await provider.create(wanted(SPEC, owner="somebody else"))
        await provider.delete(replace(theirs, owner="tests"))

        assert not await provider.find(wanted(SPEC))
        assert not await provider.exists(replace(theirs, owner="tests"))
        assert not await provider.exists(replace(theirs, owner="", fingerprint=""))
        assert await provider.exists(theirs)
        definition = {"kind": "prompt", "model": "m"}
        foundry.project.create_version(
            "anonymous", {"definition": definition, "metadata": {DEFINITION: digest(definition)}}
        )
        assert not await provider.exists(replace(theirs, name="anonymous", owner="", fingerprint=""))
    assert foundry.counts["delete_version"] == foundry.counts["delete_agent"] == 0


async def test_a_number_given_out_again_is_not_our_version(foundry: FakeFoundry) -> None:
    """When somebody deletes the agent and makes one of that name, its version 1 is not the one we remember."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        del foundry.project.agents["helper"]
        foundry.project.create_version("helper", {"definition": {"kind": "prompt", "model": "m"}})

        assert not await provider.exists(made)
        assert await provider.definition(made) is None
        await provider.delete(made)
    assert list(foundry.project.agents["helper"].versions) == ["1"]


@pytest.mark.parametrize("keeps_empty_agents", [False, True])
async def test_the_agent_goes_with_its_last_version(foundry: FakeFoundry, keeps_empty_agents: bool) -> None:
    """No empty agent stays, whether or not the service removes it by itself; and not before the last version went."""
    foundry.project.keeps_empty_agents = keeps_empty_agents
    async with foundry_at(foundry) as provider:
        first, second = [await provider.create(wanted(numbered(number))) for number in (1, 2)]
        await provider.delete(first)
        assert list(foundry.project.agents["helper"].versions) == ["2"]
        await provider.delete(second)
        await provider.delete(second)

    assert foundry.project.agents == {}
    assert foundry.counts["delete_agent"] == keeps_empty_agents


@pytest.mark.parametrize("draft", [False, True])
async def test_an_agent_with_somebodys_version_stays(foundry: FakeFoundry, draft: bool) -> None:
    """Deleting an agent deletes all its versions, so it is not done while there is one that is not ours, or a draft."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        theirs = {"definition": {"kind": "prompt", "model": "m"}, "draft": draft}
        foundry.project.create_version("helper", theirs)
        await provider.delete(made)

    assert list(foundry.project.agents["helper"].versions) == ["2"]
    assert foundry.counts["delete_agent"] == 0


async def test_a_deletion_cut_off_in_the_middle_can_be_repeated(foundry: FakeFoundry) -> None:
    """A crash between the version's deletion and the agent's leaves an empty agent, which the next try removes."""
    foundry.project.keeps_empty_agents = True
    foundry.fail_next("unavailable", on="delete_agent")
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        with pytest.raises(Unavailable):
            await provider.delete(made)
        await provider.delete(made)

    assert foundry.project.agents == {}


async def test_a_conflict_when_deleting_can_be_tried_again(foundry: FakeFoundry) -> None:
    """409 says that it is in use; that passes."""
    foundry.fail_next("conflict", on="delete_version")
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        with pytest.raises(Unavailable):
            await provider.delete(made)

        assert await provider.exists(made)


async def test_an_inventory_leaves_out_agents_without_ours(foundry: FakeFoundry) -> None:
    """250 agents of others cost pages and nothing else; ours is shown with the versions of others on top."""
    for number in range(250):
        foundry.project.create_version(f"a{number}", {"definition": {"kind": "prompt", "model": "m"}})
    async with foundry_at(foundry) as provider:
        await provider.create(wanted(SPEC))
        foundry.project.edit_in_portal("helper", instructions="Be rude.")
        foundry.project.edit_in_portal("a7", model="n")
        found = [each async for each in provider.inventory("tests")]

    assert [(each.version.name, each.version.version, each.owner) for each in found] == [
        ("helper", "2", None),
        ("helper", "1", "tests"),
    ]
    assert foundry.counts["list_agents"] == 4
    assert foundry.counts["list_versions"] == 4


async def test_of_200_agents_the_edited_ones_are_known(foundry: FakeFoundry) -> None:
    """An inventory of many agents names exactly the versions made behind our back."""
    async with foundry_at(foundry) as provider:
        for number in range(200):
            await provider.create(wanted(SPEC, f"agent{number}"))
        for number in (17, 170):
            foundry.project.edit_in_portal(f"agent{number}", instructions="Be rude.")
        found = [each async for each in provider.inventory("tests")]

    assert len(found) == 202
    assert {each.version.name for each in found if each.owner is None} == {"agent17", "agent170"}


async def test_an_archive_holds_what_is_needed_to_make_it_again(foundry: FakeFoundry) -> None:
    """Definition, metadata and description, as the project has them."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(FULL.model_copy(update={"description": "Helps."})))
        archived = await provider.definition(made) or {}
    [sent] = foundry.bodies("create_version")

    assert archived == {key: sent[key] for key in ("definition", "metadata", "description")}


def test_a_digest_is_of_what_was_said() -> None:
    """What a service may fill in or write otherwise changes nothing; what a person changes does."""
    said = {"model": "m", "temperature": 1, "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}]}
    filled = {
        "kind": "prompt",
        "model": "m",
        "temperature": 1.0,
        "instructions": None,
        "text": {"format": {"type": "text"}},
        "tools": [
            {"type": "web_search", "search_context_size": "medium", "name": None},
            {"type": "function", "name": "f", "strict": False},
        ],
    }

    assert digest(said) == digest(filled)
    for change in ({"model": "n"}, {"temperature": 0.9}, {"instructions": "Hi"}, {"tools": []}):
        assert digest({**said, **change}) != digest(said)


def test_metadata_over_the_limit_is_refused_before_anything_is_made() -> None:
    """Foundry keeps 512 characters of a value."""
    with pytest.raises(InvalidInput, match="maf-owner") as caught:
        metadata_of(wanted(SPEC, owner="o" * 513), {})

    assert caught.value.code == "metadata_too_long"
