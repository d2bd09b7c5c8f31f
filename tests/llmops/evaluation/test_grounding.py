"""Which sentences of an answer are claims, and which of them the context bears out."""

from __future__ import annotations

import pytest

from llmops.evaluation.text_checks import claims, grounded

CONTEXT = "The invoice of 14 March comes to 1,250 euros. It is payable within thirty days by bank transfer."
QUARTER = "Revenue grew 4 % in the quarter, to 12.5 million. The margin fell by 1,250 basis points."


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("The invoice comes to 1,250 euros.", 100),
        ("The invoice comes to 1250 euros.", 100),
        ("The invoice comes to 1,260 euros.", 0),
        ("The invoice is payable within thirty days. Dogs bark loudly at night.", 50),
        ("Yes.", None),
    ],
)
def test_what_the_context_does_not_bear_out_is_found(answer: str, value: int | None) -> None:
    assert grounded(answer, CONTEXT) == value
    assert grounded(answer, None) is None


@pytest.mark.parametrize(
    "answer",
    [
        "Revenue grew 4%.",
        "Revenue grew 4% [1].",
        "Revenue grew 4% [1, 2] in the quarter [^3].",
        "Revenue grew 4%【4:0†source】.",
        "Revenue grew 4% https://example.org/annual-report-2026.html.",
        "Revenue grew 4% (https://example.org/annual/2026?page=7).",
        "[Revenue grew 4%](https://example.org/annual/2026).",
        "Revenue grew to 12.5 million. The margin fell.",
        "# Executive overview 2026\n\nRevenue grew 4%.",
        "**Executive overview 2026**\n\nRevenue grew 4%.",
        "Here are the 7 findings for management:\n\n1. Revenue grew 4%.\n2. The margin fell.",
        "7. Revenue grew 4%.\n8) The margin fell.\n- **Outlook 2026:** revenue grew 4%.",
        "Revenue grew 4%.\n\n```python\nprint(forecast(2031))\n```",
        "Revenue grew 4% by `forecast(2031)`.",
        "| Indicator | Development |\n|---|---|\n| Revenue | grew 4 % |",
        "Revenue grew 4% [1].\n\n## Sources\n\n[1] Annual statement of 2031, https://example.org/a\n[^2]: Elsewhere 9",
        "_Revenue_ grew **4%**.",
        'He says "revenue grew 4%." The margin fell.',
    ],
)
def test_citing_and_formatting_cost_nothing(answer: str) -> None:
    """Marks, addresses, headings, labels, code and lists of sources are no claims, and their numbers no figures."""
    assert grounded(answer, QUARTER) == 100


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Revenue grew 5% [4].", 0),
        ("# Revenue grew 4%\n\nRevenue grew 9%.", 0),
        ("1. Revenue grew 4%.\n2. Revenue grew 2%.", 50),
        ("| Indicator | Development |\n|---|---|\n| Revenue | grew 4 % |\n| Margin | grew 77 % |", 50),
        ("[Dogs bark loudly](https://example.org/revenue).", 0),
    ],
)
def test_what_is_cited_must_still_be_borne_out(answer: str, value: int) -> None:
    assert grounded(answer, QUARTER) == value


def test_a_number_is_not_the_end_of_a_sentence() -> None:
    assert [claim.strip() for claim in claims("It grew 4.5 % to 12.5 million. It fell!")] == [
        "It grew 4.5 % to 12.5 million.",
        "It fell!",
    ]
