"""What the app brings: templates, personalities and capabilities, as files in `presets/`.

A workspace can put one of its own under the same name; the app's comes back when that is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from lifecycle.configuration.kinds import CONTENT, Kind
from lifecycle.configuration.layers import Content

_FOLDERS = {Kind.TEMPLATE: "templates", Kind.PERSONALITY: "personalities", Kind.CAPABILITY: "capabilities"}


@cache
def presets(kind: Kind) -> Mapping[str, Content]:
    """Return the app's own items of a kind, by name in order."""
    import yaml  # noqa: PLC0415 - cold start: most functions need none

    folder = _FOLDERS.get(kind)
    files = sorted((Path(__file__).parent / "presets" / folder).glob("*.yaml")) if folder else []
    return {path.stem: CONTENT[kind].model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in files}
