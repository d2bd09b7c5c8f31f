"""MCP servers as tools: real ones, in processes of their own, that break in every way servers break."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agent_framework import FunctionTool

from adapters.mcp_connection import MOST_TOOLS
from adapters.mcp_servers import McpServers, local_name
from kernel.errors import InvalidInput, RunFailed, Unavailable
from lifecycle.specs.hosted_tools import Mcp
from lifecycle.tools.function_tools import terms_of
from lifecycle.tools.limited_calls import ToolFailed
from tests.lifecycle.mcp.conftest import ServerProcess
from tests.waiting import eventually


def mcp(url: str, **more: Any) -> Mcp:
    return Mcp.model_validate({"type": "mcp", "server_label": "orders", "url": url, **more})


@asynccontextmanager
async def connected(settings: Mapping[str, str] | None = None, **how: Any) -> AsyncIterator[McpServers]:
    servers = McpServers((settings or {}).get, **{"allow_private": True, **how})
    yield servers
    await servers.aclose()


async def tool_of(servers: McpServers, server: Mcp, name: str) -> FunctionTool:
    return next(tool for tool in await servers.tools(server) if tool.name == f"orders_{name}")


async def said(tool: FunctionTool, **arguments: Any) -> str:
    """Return what the tool returns, or the code of why it does not."""
    try:
        return str((await tool.invoke(arguments=arguments))[0].text)
    except ToolFailed as error:
        return error.code


async def test_tools_of_a_server_are_called_over_one_connection(server: ServerProcess) -> None:
    """Schemas, names and terms come with them; arguments may be called like anything; calls may overlap."""
    async with connected() as servers:
        wanted = mcp(server.url, allowed_tools=["add", "book"], timeout_s=7, approval="always")
        tools = await servers.tools(wanted)
        add, book = tools
        answers = await asyncio.gather(*(said(add, a=n, b=1) for n in range(20)))
        booked = await said(book, item="x", tool_name="ada")

    assert [tool.name for tool in tools] == ["orders_add", "orders_book"]
    assert list(add.parameters()["properties"]) == ["a", "b"]
    assert add.description == "Add two numbers."
    assert (terms_of(add).timeout_s, terms_of(add).approval) == (7, "always")
    assert answers == [str(n + 1) for n in range(20)]
    assert booked == "booked x for ada"
    assert len({call["key"] for call in server.calls}) == 21


async def test_a_server_that_was_restarted_is_connected_to_anew(server: ServerProcess) -> None:
    """Whether it answers 404 to the old session or knows no sessions: the call is made once, and nobody notices."""
    async with connected() as servers:
        book = await tool_of(servers, mcp(server.url), "book")
        first = await said(book, item="a", tool_name="t")
        server.kill()
        server.start()
        second = await said(book, item="b", tool_name="t")

    assert (first, second) == ("booked a for t", "booked b for t")
    assert [call["item"] for call in server.calls] == ["a", "b"]


async def test_a_server_that_ends_the_session_with_each_call_is_connected_to_anew(closing: ServerProcess) -> None:
    """It answers 404 to the old session id and closes the connection: each call is made, and made once."""
    async with connected() as servers:
        book = await tool_of(servers, mcp(closing.url), "book")
        answers = [await said(book, item=item, tool_name="t") for item in "abc"]
        tools = await servers.offered(mcp(closing.url))

    assert answers == [f"booked {item} for t" for item in "abc"]
    assert [call["item"] for call in closing.calls] == ["a", "b", "c"]
    assert len(tools) > 3


async def test_a_server_that_dies_in_a_call_is_not_asked_again(server: ServerProcess) -> None:
    """What the call has done is not known; the next call finds the server where it is up again."""
    async with connected() as servers:
        book = await tool_of(servers, mcp(server.url), "book")
        died = await said(book, item="die", tool_name="t")
        server.ended()
        away = await said(book, item="x", tool_name="t")
        server.start()
        back = await said(book, item="y", tool_name="t")

    assert (died, away, back) == ("mcp_interrupted", "mcp_unavailable", "booked y for t")
    assert [call["item"] for call in server.calls] == ["die", "y"]


async def test_a_call_that_may_be_repeated_is_repeated_once(stateful: ServerProcess) -> None:
    """Where the server says of the tool that it changes nothing; both calls carry the same key."""
    async with connected() as servers:
        look = await tool_of(servers, mcp(stateful.url), "look")
        calling = asyncio.create_task(said(look, marker=str(stateful.folder / "marker")))
        await asyncio.to_thread(stateful.ended)
        stateful.start()
        found = await calling
        again = await said(look, marker="")

    keys = [call["key"] for call in stateful.calls]
    assert again == "found"
    assert found in ("found", "mcp_unavailable"), "as soon as the server is up again"
    assert len(set(keys[:-1])) == 1


async def test_a_call_that_takes_too_long_is_left(stateful: ServerProcess) -> None:
    """Other calls over the same connection go on."""
    async with connected() as servers:
        book = await tool_of(servers, mcp(stateful.url, timeout_s=0.5), "book")
        late = await said(book, item="hang", tool_name="t")
        next_one = await said(book, item="z", tool_name="t")

    assert late in ("tool_timeout", "mcp_interrupted")
    assert next_one == "booked z for t"


async def test_what_a_servers_tool_raises_is_a_result_for_the_model(stateful: ServerProcess) -> None:
    """As the protocol has it; the run goes on."""
    async with connected() as servers:
        fail = await tool_of(servers, mcp(stateful.url), "fail")

        assert await said(fail) == "mcp_refused"


async def test_a_large_result_is_cut(stateful: ServerProcess) -> None:
    """At the same size as every tool's."""
    async with connected() as servers:
        much = await tool_of(servers, mcp(stateful.url), "much")
        text = await said(much, size=200_000)

    assert len(text) < 66_000
    assert "the result has 200,000 bytes" in text


async def test_a_changed_list_is_read_again_when_the_server_says_so(server: ServerProcess) -> None:
    """Also where a tool keeps its name and has another schema; servers without notifications are asked every while."""
    if server.mode == "stateless":
        pytest.skip("such a server has nobody to notify")
    async with connected() as servers:
        wanted = mcp(server.url)
        evolve = await tool_of(servers, wanted, "evolve")
        before = await tool_of(servers, wanted, "add")
        await said(evolve)

        async def evolved() -> Any:
            found = await tool_of(servers, wanted, "add")
            return found if "c" in found.parameters()["properties"] else None

        after = await eventually(evolved)
    server.kill()  # the next test finds it as it was

    assert list(before.parameters()["properties"]) == ["a", "b"]
    assert list(after.parameters()["properties"]) == ["a", "b", "c"]


async def test_headers_come_from_a_setting_and_go_to_its_origin_only(tmp_path: Any) -> None:
    """A spec that points to another server does not get them there."""
    server = ServerProcess(tmp_path, "stateless", key="k-123")
    server.start()
    origin = server.url.removesuffix("/mcp")
    good = json.dumps({"origin": origin, "headers": {"x-key": "k-123"}})
    other = json.dumps({"origin": "https://crm.example.com", "headers": {"x-key": "k-123"}})
    settings = {"MCP_HEADERS_A": good, "MCP_HEADERS_B": other, "MCP_HEADERS_C": "{"}
    async with connected(settings) as servers:
        who = await tool_of(servers, mcp(server.url, headers_setting="MCP_HEADERS_A"), "whoami")
        known = await said(who)
        codes = []
        for name in ("MCP_HEADERS_B", "MCP_HEADERS_C", "MCP_HEADERS_D"):
            with pytest.raises(RunFailed) as caught:
                await servers.tools(mcp(server.url, headers_setting=name))
            codes.append(caught.value.code)
        with pytest.raises(Unavailable):
            await servers.tools(mcp(server.url))
    server.kill()

    assert known == "k-123"
    assert codes == ["mcp_not_configured"] * 3


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/mcp", "https://localhost/mcp", "https://10.0.0.1/", "http://example.com/mcp"]
)
async def test_private_addresses_and_plain_http_are_refused(url: str) -> None:
    """Unless the setting allows them; before anything is connected."""
    async with connected(allow_private=False) as servers:
        with pytest.raises(InvalidInput) as caught:
            servers.check(mcp(url))

    assert caught.value.code == "mcp_url_refused"


async def test_a_name_that_resolves_to_a_private_address_is_not_connected_to() -> None:
    """Whatever its text says."""

    async def inside(host: str, port: int) -> list[str]:
        return ["10.0.0.7"]

    async with connected(allow_private=False, resolve=inside) as servers:
        with pytest.raises(Unavailable) as caught:
            await servers.tools(mcp("https://tools.example.com/mcp"))

    assert caught.value.code == "mcp_unavailable"


@pytest.mark.parametrize("way", ["html", "redirect", "nothing", "huge", "endless"])
async def test_a_server_that_speaks_nonsense_is_unavailable(
    hostile: ServerProcess, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a code, and nothing of what it said in the log."""
    caplog.set_level(logging.INFO)
    async with connected() as servers:
        with pytest.raises(Unavailable) as caught:
            await servers.tools(mcp(f"{hostile.url}/{way}"))

    assert caught.value.code == "mcp_unavailable"
    assert "Sign in" not in caplog.text


@pytest.mark.parametrize("way", ["many", "pages"])
async def test_a_list_without_end_is_cut(hostile: ServerProcess, way: str) -> None:
    """So are descriptions; and a result that is too large is no result."""
    async with connected() as servers:
        tools = await servers.tools(mcp(f"{hostile.url}/{way}"))
        answer = await said(tools[0])

    assert 0 < len(tools) <= MOST_TOOLS
    assert len(tools[0].description) == 4096
    assert answer == "mcp_interrupted"


async def test_two_tools_that_come_to_one_name_are_one(hostile: ServerProcess) -> None:
    """Names are made fit for every model; the first one has it."""
    async with connected() as servers:
        tools = await servers.tools(mcp(f"{hostile.url}/same"))

    assert [tool.name for tool in tools] == ["orders_a_b", "orders__"]
    assert len(local_name("orders", "x" * 100)) == 64
