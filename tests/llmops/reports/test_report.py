"""The report of a period, and its sheet and page."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

from llmops.budgets.budget_usage import BudgetUsage, ForemostUsage
from llmops.reports.csv_report import COLUMNS, to_csv
from llmops.reports.html_report import to_html
from llmops.reports.periods import parse_period
from llmops.reports.report import MOST_NAMES, Day, Report, day_of, report_of
from llmops.reports.wording import usd
from llmops.spend.costs import Group
from llmops.spend.usage import Spend

NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)
USD = 1_000_000


def group(agent: str = "helper", model: str = "gpt-5-mini", user: str = "ann") -> Group:
    return Group("default", agent, "offline", model, user)


def spend(usd: float, **fields: int) -> Spend:
    return Spend(calls=1, input_tokens=10, output_tokens=5, cost_micro_usd=round(usd * USD), **fields)


def month_so_far() -> dict[date, dict[Group, Spend]]:
    days = [NOW.date() - timedelta(days=back) for back in range(60, -1, -1)]
    return {day: {group(): spend(2), group("other", "gpt-5"): spend(1)} for day in days}


def report(key: str, sums: dict[date, dict[Group, Spend]] | None = None) -> Report:
    return report_of("default", parse_period(key), days_of(month_so_far() if sums is None else sums), NOW)


def days_of(sums: dict[date, dict[Group, Spend]]) -> dict[date, Day]:
    return {day: day_of(groups, 1000, NOW) for day, groups in sums.items()}


def test_a_day_is_summed_by_agent_model_and_user() -> None:
    found = report("2026-11-20")

    assert found.complete
    assert found.total == spend(2) + spend(1)
    assert found.previous == found.total
    assert found.by_agent == {"helper": spend(2), "other": spend(1)}
    assert list(found.by_model) == ["gpt-5-mini", "gpt-5"]
    assert found.by_user == {"ann": found.total}
    assert found.forecast is None


def test_a_period_that_is_not_over_is_compared_with_as_much_of_the_one_before() -> None:
    month, week, earlier = report("2026-11"), report("2026-W47"), report("2026-10")

    assert (month.complete, month.total.calls, month.previous.calls) == (False, 42, 42)
    assert (week.complete, week.total.calls, week.previous.calls) == (False, 12, 12)
    assert (earlier.complete, earlier.total.calls) == (True, 62)
    assert month.forecast is not None
    assert month.forecast.expected == 90 * USD
    assert earlier.forecast is None
    assert list(month.by_day) == sorted(month.by_day)
    assert len(month.by_day) == 21


def test_who_moved_is_named_and_a_day_that_stands_out() -> None:
    sums = month_so_far()
    sums[date(2026, 11, 20)] = {group(): spend(50), group("other", "gpt-5"): spend(1)}

    found = report("2026-11", sums)

    assert [mover.name for mover in found.movers] == ["helper"]
    assert [(one.agent, one.day) for one in found.anomalies] == [("helper", date(2026, 11, 20))]


def test_long_lists_are_cut_and_their_total_is_not() -> None:
    sums = {NOW.date(): {group(f"agent-{number}"): spend(number) for number in range(150)}}

    found = report("2026-11-21", sums)

    assert len(found.by_agent) == MOST_NAMES
    assert next(iter(found.by_agent)) == "agent-149"
    assert found.total.calls == 150


def test_nothing_spent_is_a_report_too() -> None:
    found = report("2026-11-21", {})

    assert found.total == Spend()
    assert "Spent<b>$0.00</b>" in to_html(found)


def test_what_is_spent_never_shows_as_nothing() -> None:
    """A cheap agent's day is a few micro-dollars."""
    assert [usd(micro) for micro in (0, 7, 4_200, 123_400, 1_500_000)] == [
        "$0.00",
        "$0.000007",
        "$0.004200",
        "$0.1234",
        "$1.50",
    ]


HOSTILE = '=cmd|"/c calc"!A1<script>alert(1)</script>'


def test_a_sheet_holds_every_sum_and_no_formula() -> None:
    sums = {NOW.date(): {group(user=HOSTILE): spend(0.000001, unpriced_calls=1)}}

    rows = list(csv.reader(io.StringIO(to_csv(report("2026-11-21", sums)))))

    assert tuple(rows[0]) == COLUMNS
    assert [row[1] for row in rows[1:]] == ["total", "day", "agent", "model", "user"]
    assert rows[5] == ["2026-11-21", "user", "'" + HOSTILE, "1", "10", "0", "5", "0.000001", "1", "0"]


class Checker(HTMLParser):
    """Collects tags and text, and checks that every element is closed in order."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_is_whole_and_holds_no_script() -> None:
    sums = month_so_far() | {NOW.date(): {group(HOSTILE, user=""): spend(2, unpriced_calls=3)}}
    budget = BudgetUsage(HOSTILE, "usd", "month", 50 * USD, 40 * USD, 0, None)
    page = Checker()
    page.feed(to_html(report_of("default", parse_period("2026-11"), days_of(sums), NOW, ForemostUsage([budget], 7))))

    assert page.open == []
    assert "script" not in page.tags
    assert HOSTILE in page.text
    for words in ("Month 2026-11", "so far", "Month end", "3 calls are of models without", "(nobody in", "80 %"):
        assert words in page.text
    assert "7 budgets more are in GET usage" in page.text
