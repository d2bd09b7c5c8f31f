"""The error tree: what every error tells, without being told."""

from __future__ import annotations

import pytest

from kernel import errors
from kernel.errors import AppError, Cancelled, Conflict, EtagMismatch, InvalidInput, NotFound, TooLarge, Unavailable

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AppError)]


@pytest.mark.parametrize("kind", ALL)
def test_an_error_says_its_docstring_and_a_code(kind: type[AppError]) -> None:
    """A sentence for people, a name for programs."""
    error = kind()

    assert str(error) == error.detail == (kind.__doc__ or "").splitlines()[0]
    assert error.detail.endswith(".")
    assert error.code.replace("_", "").isalpha()
    assert error.code.islower()


def test_codes_are_unique() -> None:
    """A program can tell each error by its code alone."""
    assert len({kind.code for kind in ALL}) == len(ALL)


def test_what_is_wrong_with_a_request_stays_wrong() -> None:
    """Only what has its cause elsewhere is worth a retry."""
    assert Unavailable.retriable
    assert not any(kind.retriable for kind in ALL if issubclass(kind, (InvalidInput, Conflict, NotFound, Cancelled)))


def test_special_cases_are_caught_as_their_kind() -> None:
    """A caller who knows only the kind still catches them."""
    assert issubclass(TooLarge, InvalidInput)
    assert issubclass(EtagMismatch, Conflict)


def test_an_error_can_be_more_exact_than_its_kind() -> None:
    """Code, sentence, fields and time to wait belong to the instance."""
    error = InvalidInput("No model.", code="no_model", fields={"/spec/model": "is required"}, retry_after_s=2.5)

    assert (str(error), error.code, error.fields, error.retry_after_s) == (
        "No model.",
        "no_model",
        {"/spec/model": "is required"},
        2.5,
    )
    assert InvalidInput().code == InvalidInput.code == "invalid_input"


def test_the_fields_of_an_error_are_its_own() -> None:
    """Changing what was passed changes nothing."""
    fields = {"/a": "is wrong"}
    error = InvalidInput(fields=fields)
    fields.clear()

    assert error.fields == {"/a": "is wrong"}
    assert InvalidInput().fields == {}


@pytest.mark.parametrize(("values", "text"), [([], ""), (["b"], "b"), (["b", "c", "a"], "a, b, c")])
def test_allowed_values_are_listed_in_order(values: list[str], text: str) -> None:
    """Whatever order they were given in."""
    assert errors.one_of(values) == text
