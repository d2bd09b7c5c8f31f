"""The API's description, from any set of endpoints."""

from __future__ import annotations

import json
import re
from typing import Any

from openapi_spec_validator import validate
from pydantic import BaseModel

from tests.triggers.conftest import Edge, request, resource
from triggers.http import system
from triggers.http.endpoint import Endpoint, Parameter
from triggers.http.openapi import describe
from triggers.http.openapi_page import page_of
from triggers.http.request_handling import Operation


class _Thing(BaseModel):
    name: str


def document_of(*endpoints: Endpoint) -> Any:
    """Return the description of some endpoints."""
    package = resource("tests_things", endpoints, {}, {"Thing": _Thing})
    return describe([Operation(endpoint, package.__name__) for endpoint in endpoints])


def test_an_endpoint_is_described_whole() -> None:
    """Parameters of path, query and headers, body, answers and problems are all there, and the document is valid."""
    document = document_of(
        Endpoint(
            "POST",
            "things/{id}",
            "things_make",
            "Make a thing.",
            body="Thing",
            returns="Thing",
            status=202,
            also=200,
            query={"limit": Parameter("How many.")},
            errors=(404, 412, 413),
            creates=True,
            waits=True,
        )
    )
    operation = document["paths"]["/things/{id}"]["post"]

    validate(document)
    assert [(each["in"], each["name"], each["required"]) for each in operation["parameters"]] == [
        ("path", "id", True),
        ("query", "limit", False),
        ("header", "Idempotency-Key", False),
        ("header", "Prefer", False),
        ("header", "If-Match", False),
    ]
    assert sorted(operation["responses"]) == ["200", "202", "400", "401", "404", "412", "413", "415", "500", "503"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/_Thing")
    assert operation["responses"]["200"]["content"] == operation["responses"]["202"]["content"]
    assert set(operation["responses"]["404"]["content"]) == {"application/problem+json"}


def test_an_anonymous_endpoint_needs_no_key() -> None:
    """It has no security, and cannot answer 401."""
    document = document_of(Endpoint("GET", "up", "up", "Up?", mimetype="text/plain", anonymous=True))
    operation = document["paths"]["/up"]["get"]

    validate(document)
    assert operation["security"] == []
    assert "401" not in operation["responses"]
    assert set(operation["responses"]["200"]["content"]) == {"text/plain"}


def test_an_answer_without_a_body_has_no_content() -> None:
    """204 says nothing."""
    document = document_of(Endpoint("DELETE", "x", "x", "Delete.", status=204))

    validate(document)
    assert "content" not in document["paths"]["/x"]["delete"]["responses"]["204"]


def test_the_page_shows_every_operation_and_schema_as_text() -> None:
    """With links to what is named; nothing in a description is markup."""
    document = document_of(
        Endpoint(
            "POST", "things", "things_make", "Make <b>one</b> of `a & b`.", body="Thing", returns="Thing", status=201
        ),
        Endpoint("GET", "things-else/{id}", "things_get", "Get it.", query={"limit": Parameter("How <many>.")}),
        Endpoint("GET", "things/{id}", "things_other", "Get another.", returns="Thing"),
    )
    page = page_of(document)

    assert {f'<details id="{name}">' for name in ("things_make", "things_get", "things_other", "schema-_Thing")} <= {
        found.group() for found in re.finditer(r'<details id="[^"]+">', page)
    }
    assert page.count('<h2 id="things">') == page.count('<h2 id="things-else">') == 1
    assert 'href="#schema-_Thing"' in page
    assert "Make &lt;b&gt;one&lt;/b&gt; of <code>a &amp; b</code>." in page
    assert "How &lt;many&gt;." in page
    assert "<script" not in page


async def test_the_description_is_made_once() -> None:
    """Anybody may ask for it, also without a key, and making it takes a second."""
    edge = Edge(system)
    first, second = [(await edge("openapi", request(method="GET"))).get_body() for _ in range(2)]
    page = await edge("docs", request(method="GET"))

    assert first == second
    assert edge.api.documents is edge.api.documents
    assert json.loads(first)["openapi"] == "3.1.0"
    assert page.mimetype == "text/html"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
