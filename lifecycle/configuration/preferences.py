"""How one user likes to be answered. Sent to the model with each run, so it does not make a version of the agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_NOTE = 500
"""Most characters of a user's note."""
MAX_TEXT = 2000
"""Most characters that `preference_text` returns."""

Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}$")]
TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")]


class Preferences(BaseModel):
    """A user's preferences; None leaves a matter to the agent.

    Attributes:
        language: Language of answers, as a BCP 47 tag like `de` or `pt-BR`.
        verbosity: How long answers are.
        formality: How to address the user.
        format: Format of answers.
        expertise: What the user can be expected to know.
        units: Units of measures.
        time_zone: The user's IANA time zone, like `Europe/Zurich`.
        note: Other wishes in the user's own words; at most MAX_NOTE characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    language: Language | None = None
    verbosity: Literal["brief", "normal", "detailed"] | None = None
    formality: Literal["casual", "neutral", "formal"] | None = None
    format: Literal["prose", "bullets", "table", "plain_text"] | None = None
    expertise: Literal["beginner", "practitioner", "expert"] | None = None
    units: Literal["metric", "imperial"] | None = None
    time_zone: TimeZone | None = None
    note: Annotated[str, Field(min_length=1, max_length=MAX_NOTE)] | None = None


_SENTENCES: Mapping[str, Mapping[str, str]] = {
    "verbosity": {
        "brief": "Be brief: the answer first, and nothing that was not asked for.",
        "normal": "Say as much as the question needs, and no more.",
        "detailed": "Be thorough: give the reasoning, the alternatives and an example.",
    },
    "formality": {
        "casual": "Write as to a colleague.",
        "neutral": "Write in a neutral tone.",
        "formal": "Write formally and address the user politely.",
    },
    "format": {
        "prose": "Write in paragraphs, without lists.",
        "bullets": "Use bullet points where there is more than one thing to say.",
        "table": "Use a table where things are compared.",
        "plain_text": "Use plain text without Markdown.",
    },
    "expertise": {
        "beginner": "Assume no prior knowledge and explain each term when it first comes up.",
        "practitioner": "Assume working knowledge of the subject.",
        "expert": "Assume expert knowledge; skip the basics.",
    },
    "units": {
        "metric": "Give measures in metric units.",
        "imperial": "Give measures in imperial units.",
    },
}


def preferring(usual: Preferences, now: Preferences) -> Preferences:
    """Return the usual preferences with those set in `now` replaced."""
    return usual.model_copy(update=now.model_dump(exclude_none=True))


def preference_text(preferences: Preferences) -> str:
    """Return the preferences as a note to the model, to put before the user's message; empty when there are none.

    The note asks for a form of the answer and says that the agent's instructions come first. It has the user's words
    and is sent with the user's message: never as part of the instructions, which a user must not be able to change.
    """
    lines = [f"- {line}" for line in _lines(preferences)]
    if not lines:
        return ""
    return "\n".join(["How I like to be answered, as far as your instructions allow:", *lines])


def _lines(preferences: Preferences) -> Iterable[str]:
    if preferences.language:
        yield f"Answer in the language with the tag {preferences.language}, whatever language I write in."
    for name, sentences in _SENTENCES.items():
        chosen = getattr(preferences, name)
        if chosen:
            yield sentences[chosen]
    if preferences.time_zone:
        yield f"Give times in the time zone {preferences.time_zone}."
    if preferences.note and preferences.note.split():
        yield " ".join(preferences.note.split())
