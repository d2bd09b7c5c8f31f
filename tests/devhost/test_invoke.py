"""Running functions: limits, failures, threads and the drain at the end."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import azure.functions as func
import pytest
import pytest_asyncio

from devhost import datums
from devhost.context import THREAD_LOCAL, child_trace_parent
from devhost.index import Function, index_functions
from devhost.invoke import FunctionTimeoutError, Invoker
from tests.waiting import QUIET_S

REQUEST = datums.http(method="GET", url="http://h/", headers=[], query=[], params={}, body=b"")


def _function(call: Callable[..., Any]) -> Function:
    app = func.FunctionApp()
    app.route(route="a")(call)
    (function,) = index_functions(app.get_functions())
    return function


@pytest_asyncio.fixture
async def invoker() -> AsyncIterator[Invoker]:
    invoker = Invoker(timeout_s=0.1)
    yield invoker
    invoker.close()


async def test_coroutines_are_cancelled_at_the_limit(invoker: Invoker) -> None:
    """A coroutine that passes functionTimeout is cancelled and its invocation fails."""
    ended = asyncio.Event()

    async def slow(req: func.HttpRequest) -> func.HttpResponse:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return func.HttpResponse()

    outcome = await invoker.invoke(_function(slow), REQUEST)

    assert isinstance(outcome.error, FunctionTimeoutError)
    assert ended.is_set()


async def test_threads_are_abandoned_at_the_limit(invoker: Invoker) -> None:
    """A plain function cannot be stopped; its invocation fails in time all the same."""
    release, ended = threading.Event(), threading.Event()

    def slow(req: func.HttpRequest) -> func.HttpResponse:
        release.wait(QUIET_S)
        ended.set()
        return func.HttpResponse()

    outcome = await invoker.invoke(_function(slow), REQUEST)
    still_works = not ended.is_set()
    release.set()

    assert isinstance(outcome.error, FunctionTimeoutError)
    assert still_works


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, asyncio.CancelledError, TimeoutError])
async def test_no_failure_of_a_function_ends_the_host(invoker: Invoker, error: type[BaseException]) -> None:
    """Whatever a function raises, its invocation fails and the host goes on; no error is taken for the limit."""

    async def fail(req: func.HttpRequest) -> func.HttpResponse:
        raise error

    outcome = await invoker.invoke(_function(fail), REQUEST)

    assert outcome.error is not None
    assert not isinstance(outcome.error, FunctionTimeoutError)


async def test_plain_functions_run_in_threads_with_the_callers_context(invoker: Invoker) -> None:
    """Context variables and the invocation's id reach the thread."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[Any] = []

    def plain(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        seen.append(
            (variable.get(), threading.current_thread().name, THREAD_LOCAL.invocation_id == context.invocation_id)
        )
        return func.HttpResponse()

    variable.set("set")
    await invoker.invoke(_function(plain), REQUEST)

    assert seen[0][0] == "set"
    assert seen[0][1].startswith("function")
    assert seen[0][2]


async def test_an_output_parameter_carries_the_response(invoker: Invoker) -> None:
    """A response set through func.Out is encoded like a returned one."""
    app = func.FunctionApp()

    @app.route(route="a", binding_arg_name="response")
    async def act(req: func.HttpRequest, response: func.Out[func.HttpResponse]) -> None:
        response.set(func.HttpResponse("ok", status_code=201))

    (function,) = index_functions(app.get_functions())
    outcome = await invoker.invoke(function, REQUEST)

    assert outcome.error is None
    assert outcome.outputs["response"].value["status_code"].value == "201"


async def test_draining_waits_and_is_bounded() -> None:
    """The drain ends with the last invocation, or at its deadline with the number that is left."""
    invoker = Invoker(timeout_s=None)
    release = asyncio.Event()

    async def wait(req: func.HttpRequest) -> func.HttpResponse:
        await release.wait()
        return func.HttpResponse()

    task = asyncio.create_task(invoker.invoke(_function(wait), REQUEST))
    await asyncio.sleep(0)

    assert await invoker.drain(0.05) == 1
    release.set()
    assert await invoker.drain(5) == 0
    await task
    invoker.close()


def test_traces_are_continued_or_begun() -> None:
    """A well-formed parent keeps its trace id; anything else begins a trace."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    assert child_trace_parent(parent).split("-")[1] == parent.split("-")[1]
    assert child_trace_parent(parent) != parent
    assert len(child_trace_parent("nonsense")) == len(child_trace_parent(None)) == len(parent)
