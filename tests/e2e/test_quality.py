"""Scores, judges and reports over HTTP."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

from tests.e2e.support import PROMPT, Api, Stack, eventually


async def test_an_answer_is_scored_judged_and_listed(api: Api, stack: Stack) -> None:
    """The checks at once, the judge with the timer; both in the agent's history and at the run."""
    await api.declare("judge", simulate={"reply": '{"score": 3, "reason": "No date."}'})
    policy = {"topics": ["turn 1"], "structure": ["table"], "judge": {"agent": "judge"}}
    await api.declare("author", evaluation=policy)
    run = await api.answer("author", f"{PROMPT} report", context="The report is of turn 1.")

    async def judged() -> Any:
        await stack.run_timer("evaluate_answers")
        found = (await api.get("evaluations?agent=author"))["items"]
        return found if found and found[0]["judged"] else None

    [evaluation] = await eventually(judged)
    after = await api.get(f"runs/{run['id']}")
    scores = await api.get("evaluations/author/versions")
    costs = await api.get("costs?group_by=agent")

    assert run["score"]["parts"]["answered"] == 100
    assert (run["score"]["parts"]["topics"], run["score"]["parts"]["structure"]) == (100, 0)
    assert "grounded" in run["score"]["parts"]
    assert after["score"]["parts"] == run["score"]["parts"] | {"judge": 50}
    assert evaluation["score"] == after["score"]
    assert (evaluation["run_id"], evaluation["version"], evaluation["judged"]) == (run["id"], "1", ["judge"])
    [version] = scores["versions"]
    assert (version["version"], version["current"]) == ("1", True)
    assert {part["part"]: part["mean"] for part in version["parts"]}["judge"] == 50
    assert [(group["name"], group["spend"]["calls"]) for group in costs["groups"]] == [("author", 2)]


async def test_evaluations_of_what_there_is_not(api: Api) -> None:
    await api.declare("quiet")

    for path, status, code in (
        ("evaluations", 400, "agent_required"),
        ("evaluations?agent=nobody", 404, "agent_not_found"),
        ("evaluations?agent=quiet&next=x", 400, "invalid_next"),
        ("evaluations/nobody/versions", 404, "agent_not_found"),
        ("evaluations/quiet/comparison", 404, "version_not_scored"),
        ("evaluations/quiet/comparison?base=1&new=2", 404, "version_not_scored"),
    ):
        answer = await api.call("GET", path)
        assert (answer.status, answer.code) == (status, code), path
    for wrong in (
        {"on_truncated": "retry"},
        {"min_words": 9, "max_words": 1},
        {"weights": {"answered": -1}},
        {"judge": {}},
        {"share": 2},
    ):
        answer = await api.call("PUT", "agents/wrong", {"model": "m", "evaluation": wrong})
        assert (answer.status, answer.code) == (400, "invalid_input"), wrong


async def test_a_schema_that_answers_could_not_be_checked_by_is_refused(api: Api) -> None:
    """By its place, before anything is made: what would be fetched, or would not be linear."""
    for part, place in (
        ({"allOf": [{"$ref": "http://127.0.0.1:9/internal"}]}, "/allOf/0/$ref"),
        ({"properties": {"a": {"type": "string", "pattern": r"^(?=a)b"}}}, "/properties/a/pattern"),
        ({"not": {"minimum": "one"}}, "/not/minimum"),
    ):
        schema = {"name": "r", "strict": False, "json_schema": {"type": "object", **part}}
        answer = await api.call("PUT", "agents/wrong", {"provider": "openai", "model": "m", "response_format": schema})
        assert (answer.status, answer.code) == (400, "invalid_schema"), place
        assert f"/response_format/json_schema{place}" in answer.body.decode()


async def test_a_report_is_json_a_sheet_and_a_page(api: Api, stack: Stack) -> None:
    await api.declare("dear", model="gpt-4o")
    await api.answer("dear", user_id="ada")
    await stack.run_timer("aggregate_costs")
    month = datetime.now(UTC).strftime("%Y-%m")

    report = await api.get(f"reports/{month}")
    sheet = await api.call("GET", f"reports/{month}?format=csv")
    page = await api.call("GET", f"reports/{month}?format=html")
    unknown = await api.call("GET", f"reports/{month}?format=pdf")
    months = await api.get("reports?period=month")

    assert report["period"]["kind"] == "month"
    assert report["by_user"]["ada"] == report["total"]
    assert sheet.headers["content-type"].startswith("text/csv")
    assert [row[1] for row in csv.reader(io.StringIO(sheet.body.decode()))] == [
        "breakdown",
        "total",
        "day",
        "agent",
        "model",
        "user",
    ]
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert f"<title>Month {month}</title>" in page.body.decode()
    assert (unknown.status, unknown.code) == (400, "invalid_format")
    assert [item["period"]["key"] for item in months["items"]] == [month]
