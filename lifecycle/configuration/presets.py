"""Built-in templates, personalities and capabilities, from the files in `presets/`.

A workspace can store its own item under the same name; deleting that brings the built-in one back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lifecycle.configuration.kinds import CONTENT, Kind, Ref
from lifecycle.configuration.layers import Content

_FOLDERS = {Kind.TEMPLATE: "templates", Kind.PERSONALITY: "personalities", Kind.CAPABILITY: "capabilities"}


@cache
def preset_names(kind: Kind) -> Sequence[str]:
    """Return the names of the built-in items of a kind, sorted."""
    folder = _FOLDERS.get(kind)
    return sorted(path.stem for path in _path(folder).glob("*.yaml")) if folder else ()


@cache
def preset(ref: Ref) -> Content | None:
    """Return the built-in item; None if there is none of that name."""
    if ref.name not in preset_names(ref.kind):
        return None
    import yaml  # noqa: PLC0415 - cold start: most functions need none

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times as fast, where libyaml is available
    text = (_path(_FOLDERS[ref.kind]) / f"{ref.name}.yaml").read_text(encoding="utf-8")
    return CONTENT[ref.kind].model_validate(yaml.load(text, loader))  # noqa: S506 - a safe loader


def _path(folder: str) -> Path:
    return Path(__file__).parent / "presets" / folder
