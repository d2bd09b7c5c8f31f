"""The benchmarks' command line."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import BENCHMARKS, parse


def test_those_named_are_run_and_all_without_a_name() -> None:
    assert parse(["loader", "imports"]) == ["imports", "loader"]
    assert parse([]) == list(BENCHMARKS)


def test_a_name_that_is_none_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured; `--help` lists them, too."""
    for argv, code in ((["loader", "speed"], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as ended:
            parse(argv)
        said = capsys.readouterr()
        assert ended.value.code == code
        assert all(name in said.out + said.err for name in BENCHMARKS)
