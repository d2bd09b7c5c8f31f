"""Personality traits as sentences. A value near the middle adds no sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lifecycle.configuration.layers import Personality

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
