"""Estimating the tokens of a text before a call: by the model's own tokenizer where known, else by a rule.

OpenAI's encodings are public and come with the package `toktok-rs`, so that no network is needed. For other models a
token is counted for every three bytes of UTF-8: English has about four bytes to a token, code and other scripts three,
so that the estimate tends to be too high.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmops.spend.model_names import spellings

BYTES_PER_TOKEN = 3
_ENCODINGS = (
    ("o200k_harmony", re.compile(r"gpt-oss")),
    ("o200k_base", re.compile(r"gpt-4o|gpt-4\.[15]|gpt-[5-9]|chatgpt-4o|o[134](?:-|$)")),
    ("cl100k_base", re.compile(r"gpt-4(?:-|$)|gpt-3\.5|gpt-35")),
)


def count_tokens(texts: Sequence[str], model: str) -> int:
    """Return the estimated number of tokens of the texts together.

    The first use of an encoding takes up to a second and is best made in a thread.
    """
    encoded = [text.encode(errors="replace") for text in texts]  # JSON strings can contain half a surrogate pair
    if (encoding := encoding_of(model)) is not None:
        import toktok  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs] - 8 MB of tables that only few calls need

        return sum(toktok.batch_count([text.decode() for text in encoded], encoding, threads=1))
    return -(-sum(map(len, encoded)) // BYTES_PER_TOKEN)


def encoding_of(model: str) -> str | None:
    """Return the name of the model's encoding; None where its tokenizer is not known."""
    for name in spellings(model):
        for encoding, pattern in _ENCODINGS:
            if pattern.match(name):
                return encoding
    return None
