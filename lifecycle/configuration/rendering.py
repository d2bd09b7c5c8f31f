"""Instructions of a composed agent as text. Deterministic: equal parts give equal text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lifecycle.configuration.layers import Capability, Guideline, Personality
from lifecycle.configuration.merging import Merged, Origin
from lifecycle.configuration.traits import trait_sentences


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
