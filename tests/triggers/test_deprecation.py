"""What is going to be removed from the API is announced: in openapi.json, in answers, and in docs/upgrade.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from tests.triggers.conftest import Edge, request, resource
from triggers.app import RESOURCES
from triggers.http.endpoint import Deprecation, Endpoint, Parameter
from triggers.http.handler_call import Call, Reply
from triggers.http.openapi import describe
from triggers.http.request_handling import Operation

UPGRADE = Path(__file__).parents[2] / "docs/upgrade.md"
OLD = Deprecation(date(2026, 12, 1), "Use `GET things`.", date(2027, 6, 1))
OLD_FILTER = Deprecation(date(2026, 11, 1), "Use `name`.")


class _Thing(BaseModel):
    name: str
    title: str = Field(default="", deprecated="Use `name`.")


async def _listed(_: Call) -> Reply:
    return Reply(_Thing(name="x"), headers={"ETag": "1"})


ENDPOINTS = (
    Endpoint("GET", "old-things", "old_things_list", "List things.", returns="Thing", deprecated=OLD),
    Endpoint(
        "GET",
        "things",
        "things_list",
        "List things.",
        returns="Thing",
        query={"name": Parameter("Its name."), "title": Parameter("Its title.", deprecated=OLD_FILTER)},
    ),
)
THINGS = resource(
    "tests_old_things", ENDPOINTS, {"old_things_list": _listed, "things_list": _listed}, {"Thing": _Thing}
)


def marked(document: Any) -> Iterator[str]:
    """Yield what an API's description marks as deprecated: operations, their parameters, fields of models."""
    for operations in document["paths"].values():
        for operation in operations.values():
            name = operation["operationId"]
            if operation.get("deprecated"):
                yield name
            yield from (f"{name}?{each['name']}" for each in operation["parameters"] if each.get("deprecated"))
    for model, schema in document["components"]["schemas"].items():
        fields = schema.get("properties", {})
        yield from (f"{model}.{name}" for name, described in fields.items() if described.get("deprecated"))


def test_what_is_deprecated_is_marked_in_the_description() -> None:
    """With since when, until when at least, and what to use instead."""
    document = describe([Operation(endpoint, THINGS.__name__) for endpoint in ENDPOINTS])
    old = document["paths"]["/old-things"]["get"]
    [title] = [each for each in document["paths"]["/things"]["get"]["parameters"] if each["name"] == "title"]

    assert set(marked(document)) == {"old_things_list", "things_list?title", "_Thing.title"}
    assert old["description"] == "Deprecated since 2026-12-01, until 2027-06-01 at least. Use `GET things`."
    assert title["description"] == "Its title. Deprecated since 2026-11-01. Use `name`."


async def test_answers_say_what_is_deprecated_of_the_call() -> None:
    """By the headers of RFC 9745 and RFC 8594, beside their own; calls that use nothing of it get none."""
    edge = Edge(THINGS)
    old = await edge("old_things_list", request(method="GET"))
    by_title = await edge("things_list", request(method="GET", params={"title": "x"}))
    by_name = await edge("things_list", request(method="GET", params={"name": "x"}))

    assert (old.headers["Deprecation"], old.headers["Sunset"]) == ("@1796083200", "Tue, 01 Jun 2027 00:00:00 GMT")
    assert old.headers["ETag"] == "1"
    assert by_title.headers["Deprecation"] == "@1793491200"
    assert "Sunset" not in by_title.headers
    assert {"Deprecation", "Sunset"} & set(by_name.headers) == set()
    assert json.loads(old.get_body())["name"] == "x"
    await edge.services.aclose()


def test_what_is_deprecated_stands_in_the_page_on_upgrading() -> None:
    """All of it, and nothing that is not."""
    operations = [Operation(endpoint, each.__name__) for each in RESOURCES for endpoint in each.ENDPOINTS]
    section = UPGRADE.read_text(encoding="utf-8").split("### Deprecated", 1)[1].split("###", 1)[0]

    assert set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)) == set(marked(describe(operations)))
