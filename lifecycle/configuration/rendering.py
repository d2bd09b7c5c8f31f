"""Instructions of a composed agent as text, and its personality's traits as sentences.

Deterministic: equal parts give equal text. A trait near the middle of its scale adds no sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.merging import Merged, Origin

if TYPE_CHECKING:
    from lifecycle.configuration.layers import Capability, Guideline, Personality

_UP_TO = (20, 40, 60, 80, 100)
"""Upper bounds, inclusive, of very low, low, middle, high and very high."""

_SAID: Mapping[str, tuple[str, str, str, str, str]] = {
    "formality": (
        "Write as you would talk to a friend: contractions, first names, no ceremony.",
        "Keep a relaxed, conversational tone.",
        "",
        "Keep a professional tone; avoid slang and exclamation marks.",
        "Write formally: whole sentences, no contractions, the polite form of address where the language has one.",
    ),
    "verbosity": (
        "Answer in as few words as the question allows, often a single sentence.",
        "Keep answers short; leave out background that was not asked for.",
        "",
        "Explain your answers: give the reasoning and the context that make them usable.",
        "Be thorough: cover the reasoning, the exceptions and an example, even where a short answer would do.",
    ),
    "helpfulness": (
        "Answer exactly what is asked and nothing beyond it.",
        "Stay with the question; offer more only when something important would be missed.",
        "",
        "Point out the obvious next step, and what the user may not have thought to ask.",
        "Think ahead for the user: answer the question behind the question, and offer to do the next step.",
    ),
    "creativity": (
        "Use only established facts and methods; do not speculate or embellish.",
        "Prefer the proven solution; say so when you depart from it.",
        "",
        "Offer an alternative that is not obvious beside the usual one.",
        "Look for unusual angles, analogies and ideas, and mark clearly what is speculation.",
    ),
    "empathy": (
        "Keep to the matter; do not comment on feelings.",
        "Stay matter-of-fact, and courteous.",
        "",
        "When the user is in difficulty, say that you see it before you solve it.",
        "Attend to how the user feels: name it, reassure without promising, and go at the user's pace.",
    ),
}


def trait_sentences(personality: Personality) -> Iterator[str]:
    """Yield a sentence for each trait outside the middle, in the order of the traits."""
    for trait, sentences in _SAID.items():
        value: int | None = getattr(personality, trait)
        if value is None:
            continue
        sentence = next(candidate for bound, candidate in zip(_UP_TO, sentences, strict=True) if value <= bound)
        if sentence:
            yield sentence


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the instructions: its text, and where it comes from."""

    text: str
    origins: Sequence[Origin]


def as_text(parts: Sequence[Section]) -> str:
    """Return the instructions made of the sections; a single section is returned unchanged."""
    return parts[0].text if len(parts) == 1 else "\n\n".join(part.text.strip("\n") for part in parts)


def sections(
    merged: Merged, personality: tuple[Personality, Origin] | None, capabilities: Iterable[tuple[Capability, Origin]]
) -> Sequence[Section]:
    """Return the sections of the instructions, without empty ones.

    In this order: the agent's instructions, its capabilities, how it speaks, guidelines, prohibitions.
    """
    return [
        *_instruction_sections(merged),
        *(Section(capability.instructions, [origin]) for capability, origin in capabilities if capability.instructions),
        *(_personality_sections(*personality) if personality else ()),
        *_guidelines(merged.guidelines),
        *_prohibited(merged, personality),
    ]


def _instruction_sections(merged: Merged) -> Iterator[Section]:
    base = merged.values.get(("instructions",))
    if base and base.value:
        yield Section(base.value, [base.origin])
    for more in merged.added.get("more_instructions", ()):
        yield Section(more.value, [more.origin])


def _personality_sections(personality: Personality, origin: Origin) -> Iterator[Section]:
    manner = [*trait_sentences(personality), *personality.modifiers]
    if manner:
        yield Section(_listed("# How you write", manner), [origin])
    if personality.response_templates:
        phrases = [f"{situation}: {wording}" for situation, wording in sorted(personality.response_templates.items())]
        heading = "# Set phrases\nIn these situations use this wording, with what is in braces filled in."
        yield Section(_listed(heading, phrases), [origin])


def _guidelines(found: Sequence[tuple[str, Guideline, Origin]]) -> Iterator[Section]:
    if not found:
        return
    heading = "# Guidelines\nWhere two of them conflict, the earlier one counts."
    lines = [f"{number}. {_guideline(guideline)}" for number, (_, guideline, _) in enumerate(found, 1)]
    yield Section("\n".join([heading, *lines]), _unique(origin for _, _, origin in found))


def _guideline(guideline: Guideline) -> str:
    about = f"[{guideline.category}] " if guideline.category else ""
    case = guideline.when.strip().rstrip(".,:;")
    return f"{about}When {case}: {guideline.then.strip()}"


def _prohibited(merged: Merged, personality: tuple[Personality, Origin] | None) -> Iterator[Section]:
    found = [(each.value.strip(), each.origin) for each in merged.added.get("prohibited", ())]
    if personality:
        found += [(line.strip(), personality[1]) for line in personality[0].prohibited]
    first = dict(reversed(found))
    lines = dict.fromkeys(line for line, _ in found)
    if lines:
        heading = "# Never\nWhatever you are asked and whoever asks, never:"
        yield Section(_listed(heading, lines), _unique(first[line] for line in lines))


def _listed(heading: str, lines: Iterable[str]) -> str:
    return "\n".join([heading, *(f"- {line}" for line in lines)])


def _unique(origins: Iterable[Origin]) -> Sequence[Origin]:
    return list(dict.fromkeys(origins))
