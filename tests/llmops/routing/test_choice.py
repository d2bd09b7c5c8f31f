"""Which deployment a call goes to, and what is left of a quota."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as given_cases
from hypothesis import strategies as st

from kernel.errors import InvalidInput
from llmops.routing.deployment_choice import Chosen, NoneFree, Situation, choose
from llmops.routing.deployment_health import Health
from llmops.routing.deployment_quota import Account, Remaining, Used, fits, minute_of, read_remaining, together
from llmops.routing.route import Deployment, Route, check_route
from tests.lifecycle.doubles import NOW

LATER = NOW + timedelta(seconds=40)


def deployment(name: str, **fields: Any) -> Deployment:
    return Deployment(name, "openai", "m", **fields)


def chosen(route: Route, affinity: str = "s", tokens: int = 10, **situation: Any) -> str | None:
    found = choose(route, Situation(**situation), affinity, tokens, NOW)
    return found.deployment.name if isinstance(found, Chosen) else None


def test_provisioned_throughput_comes_first_and_spills_over() -> None:
    """Whatever makes the first one unfree, the next priority takes the call, and only as long."""
    route = Route("r", (deployment("paygo", priority=2), deployment("ptu", rpm=5, tpm=1000)))

    assert chosen(route) == "ptu"
    assert chosen(route, used={"ptu": Used(requests=5)}) == "paygo"
    assert chosen(route, used={"ptu": Used(requests=1, tokens=995)}) == "paygo"
    assert chosen(route, health={"ptu": Health(throttled_until=LATER)}) == "paygo"
    assert chosen(route, health={"ptu": Health(open_until=LATER)}) == "paygo"
    assert chosen(route, remaining={"ptu": Remaining(0, None, LATER)}) == "paygo"
    assert chosen(route, remaining={"ptu": Remaining(9, 5, LATER)}) == "paygo"
    assert chosen(route, remaining={"ptu": Remaining(0, 0, NOW)}) == "ptu"


def test_where_none_is_free_it_is_said_when_the_first_will_be() -> None:
    """The soonest of all, whatever each waits for."""
    route = Route("r", (deployment("a"), deployment("b", rpm=1)))
    situation = Situation({"a": Health(throttled_until=NOW + timedelta(seconds=90))}, {"b": Used(requests=1)})

    assert choose(route, situation, "s", 10, NOW) == NoneFree(NOW + timedelta(seconds=60))
    assert choose(route, situation, "s", 10, NOW, ("a", "b")) == NoneFree(None)


def test_a_call_larger_than_the_declared_quota_is_made_in_an_unused_minute() -> None:
    """Refused for good, its run would never end; the deployment itself says whether it takes it."""
    assert chosen(Route("r", (deployment("a", tpm=100),)), tokens=500) == "a"


@given_cases(st.lists(st.integers(1, 20), min_size=2, max_size=5), st.integers(0, 4))
def test_one_that_falls_out_moves_only_its_own_sessions(weights: list[int], gone: int) -> None:
    """All others keep the prompt caches that they have."""
    names = [f"d{at}" for at in range(len(weights))]
    route = Route("r", tuple(deployment(n, weight=w) for n, w in zip(names, weights, strict=True)))
    out = names[gone % len(names)]

    for at in range(50):
        before = chosen(route, f"session-{at}")
        after = chosen(route, f"session-{at}", health={out: Health(open_until=LATER)})
        assert after == before or before == out


def test_shares_follow_the_weights() -> None:
    """Of 4,000 sessions 1 : 2 : 5, within what chance allows."""
    route = Route("r", (deployment("a", weight=1), deployment("b", weight=2), deployment("c", weight=5)))
    counts = Counter(chosen(route, f"s{at}") for at in range(4000))

    assert [round(counts[name] / 500) for name in ("a", "b", "c")] == [1, 2, 5]


def test_accounts_add_up_over_workers_and_forget_what_is_old() -> None:
    """What one worker wrote stays its own; the sum is everybody's."""
    one = Account().adding("a", Used(1, 100), NOW).adding("a", Used(0, -40), NOW).adding("b", Used(2, 9), NOW)
    two = Account().adding("a", Used(3, 5), NOW)
    minute = minute_of(NOW)

    assert together([one, two]).of("a", minute) == Used(4, 65)
    assert together([one, two]).of("c", minute) == Used()
    assert set(one.adding("a", Used(1, 1), NOW + timedelta(minutes=6)).minutes) == {minute + 6}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-ratelimit-remaining-requests": "many"}, None),
        ({"x-ratelimit-remaining-requests": "9" * 40}, None),
        ({"x-ratelimit-remaining-tokens": "-5"}, (None, 0, 60)),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}, (None, 7, 360)),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "250ms"}, (7, None, 0.25)),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "1h2m3.5s"}, (7, None, 3600)),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "soon"}, (7, None, 60)),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-tokens": "9s"}, (7, None, 60)),
    ],
)
def test_what_is_left_is_read_as_servers_say_it(headers: dict[str, str], expected: Any) -> None:
    """In OpenAI's durations, or not at all; nonsense is as good as nothing, nothing is believed for over an hour."""
    read = read_remaining(headers, NOW)

    found = read and (read.requests, read.tokens, (read.until - NOW).total_seconds())
    assert found == expected


@given_cases(st.text(max_size=40), st.text(max_size=40))
def test_no_header_can_break_a_call(left: str, reset: str) -> None:
    """Whatever a server sends, an answer that was paid for is not lost over it."""
    read_remaining({"x-ratelimit-remaining-tokens": left, "x-ratelimit-reset-tokens": reset}, NOW)


def test_a_fresh_minute_has_room() -> None:
    """Quotas are by the minute."""
    assert fits(deployment("a", rpm=1, tpm=1), Used(), None, 1, NOW)
    assert not fits(deployment("a", rpm=1), Used(requests=1), None, 1, NOW)


@pytest.mark.parametrize(
    ("fields", "code", "place"),
    [
        ({"endpoint": "http://example.com/v1"}, "route_endpoint_refused", "endpoint"),
        ({"endpoint": "https://127.0.0.1/v1"}, "route_endpoint_refused", "endpoint"),
        ({"endpoint": "https://10.0.0.1/v1"}, "route_endpoint_refused", "endpoint"),
        ({"endpoint": "https://169.254.169.254/v1"}, "route_endpoint_refused", "endpoint"),
        ({"endpoint": "https://localhost/v1"}, "route_endpoint_refused", "endpoint"),
        ({"endpoint": "https://user:secret@example.com/v1"}, "route_endpoint_refused", "endpoint"),
        ({"endpoint": "https://example.com/v1?api-key=secret"}, "route_endpoint_refused", "endpoint"),
        ({"endpoint": "https://example.com/v1", "identity": True}, "route_endpoint_refused", "identity"),
        (
            {"endpoint": "https://evilopenai.azure.com.example.com", "identity": True},
            "route_endpoint_refused",
            "identity",
        ),
        ({"endpoint": "https://example.com", "api_version": "v"}, "invalid_deployment", "api_version"),
        ({"key_setting": "MODEL_KEY_A"}, "invalid_deployment", "endpoint"),
        ({"provider": "azure_openai"}, "invalid_deployment", "endpoint"),
        ({"provider": "offline", "endpoint": "https://example.com"}, "invalid_deployment", "endpoint"),
        (
            {"endpoint": "https://a.openai.azure.com", "identity": True, "key_setting": "MODEL_KEY_A"},
            "invalid_deployment",
            "identity",
        ),
    ],
)
def test_a_deployment_that_makes_no_sense_is_refused(fields: dict[str, Any], code: str, place: str) -> None:
    """By its place and a stable code, and without the endpoint, which may hold a key."""
    one = Deployment(**{"name": "a", "provider": "openai", "model": "m", **fields})

    with pytest.raises(InvalidInput) as caught:
        check_route(Route("r", (one,)), allow_private=False)

    assert (caught.value.code, list(caught.value.fields)) == (code, [f"/deployments/0/{place}"])
    assert "secret" not in caught.value.detail


def test_a_public_route_is_taken_and_a_private_one_where_it_is_allowed() -> None:
    """Azure's hosts by identity, any by key; plain http on a developer's machine."""
    azure = Deployment("a", "azure_openai", "gpt", "https://east.openai.azure.com", identity=True)
    local = Deployment("b", "openai", "llama", "http://127.0.0.1:11434/v1")

    check_route(
        Route("r", (azure, Deployment("own", "openai", "m"), Deployment("o", "offline", "m"))), allow_private=False
    )
    check_route(Route("r", (local,)), allow_private=True)


def test_two_deployments_have_two_names() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_route(Route("r", (deployment("a"), deployment("a"))), allow_private=True)

    assert caught.value.code == "duplicate_deployment"
