"""Rules of route matching."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.routes import RouteTable

ANY = frozenset[str]()


def _match(template: str, path: str) -> dict[str, str] | None:
    found = RouteTable([(template, ANY, "target")]).match("GET", path)
    return None if found is None else found[1]


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("api/agents", "/api/agents", {}),
        ("api/agents", "/API/Agents/", {}),
        ("api/agents", "/api/agents/x", None),
        ("api/agents/{name}", "/api/agents/bot", {"name": "bot"}),
        ("api/agents/{name}", "/api/agents", None),
        ("api/agents/{name}", "/api/agents/a%20b%C3%A9", {"name": "a bé"}),
        ("api/agents/{name}", "/api/agents/a%2Fb", {"name": "a%2Fb"}),
        ("api/{id:int}", "/api/-5", {"id": "-5"}),
        ("api/{id:int}", "/api/5x", None),
        ("api/{id:int}", "/api/2147483648", None),
        ("api/{id:long}", "/api/2147483648", {"id": "2147483648"}),
        ("api/{id:guid}", "/api/0f8fad5b-d9cb-469f-a165-70867728950e", {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
        ("api/{id:guid}", "/api/nope", None),
        ("api/{name:alpha}", "/api/abc", {"name": "abc"}),
        ("api/{name:alpha}", "/api/abc1", None),
        ("api/{flag:bool}", "/api/True", {"flag": "True"}),
        ("api/{x:min(3):max(5)}", "/api/4", {"x": "4"}),
        ("api/{x:min(3):max(5)}", "/api/6", None),
        ("api/{x:range(1,3)}", "/api/3", {"x": "3"}),
        ("api/{x:length(2,3)}", "/api/abcd", None),
        ("api/{x:length(2)}", "/api/ab", {"x": "ab"}),
        ("api/{x:maxlength(2)}", "/api/abc", None),
        (r"api/{x:regex(^\d{{3}}$)}", "/api/123", {"x": "123"}),
        (r"api/{x:regex(^\d{{3}}$)}", "/api/1234", None),
        ("api/{day:datetime}", "/api/2026-11-21", {"day": "2026-11-21"}),
        ("api/{op?}", "/api", {}),
        ("api/{op?}", "/api/x", {"op": "x"}),
        ("api/{op:int?}", "/api/x", None),
        ("api/{page=1}", "/api", {"page": "1"}),
        ("api/{*path}", "/api/a/b/c", {"path": "a/b/c"}),
        ("api/{*path}", "/api", {"path": ""}),
        ("api/v{major:int}.{minor:int}", "/api/v2.10", {"major": "2", "minor": "10"}),
        ("api/{name}.json", "/api/report.json", {"name": "report"}),
    ],
)
def test_templates(template: str, path: str, expected: dict[str, str] | None) -> None:
    """Constraints, optional, default, catch-all and mixed segments match as in ASP.NET."""
    assert expected == _match(template, path)


def test_the_most_specific_route_wins() -> None:
    """A literal beats a constrained parameter, which beats a free one, which beats a catch-all; order is nothing."""
    templates = ["api/{*rest}", "api/agents/{name}", "api/agents/{id:int}", "api/agents/stats"]
    table = RouteTable([(template, ANY, template) for template in templates])

    winners = [table.match("GET", path) for path in ("/api/agents/stats", "/api/agents/7", "/api/agents/x", "/api/x/y")]

    assert templates[::-1] == [found[0] for found in winners if found]


def test_methods_choose_between_equal_routes() -> None:
    """Routes of the same shape serve different methods; a method nobody serves matches nothing."""
    table = RouteTable([("a/{x}", frozenset({"GET"}), "read"), ("a/{x}", frozenset({"PUT", "POST"}), "write")])

    assert table.match("GET", "/a/1") == ("read", {"x": "1"})
    assert table.match("PUT", "/a/1") == ("write", {"x": "1"})
    assert table.match("DELETE", "/a/1") is None


@pytest.mark.parametrize("template", ["a/{x:nonsense}", "a/{x", "a/{*x}/b", "a/{x?}/b", "a/{}"])
def test_malformed_templates_are_errors(template: str) -> None:
    """A route the host would refuse is refused when it is parsed."""
    with pytest.raises(ValueError, match="route"):
        RouteTable([(template, ANY, None)])


@given(st.integers(-(2**31), 2**31 - 1), st.uuids(), st.text(alphabet="abcdefXYZ019_-.~é", min_size=1))
def test_what_was_put_in_comes_out(number: int, identity: uuid.UUID, name: str) -> None:
    """Any values of the right kinds survive the way through a URL."""
    found = _match("r/{number:int}/{identity:guid}/{name}", f"/r/{number}/{identity}/{name}")

    assert {"number": str(number), "identity": str(identity), "name": name} == found
