"""Generate the models of the Python client from the API description: `make client`.

    python -m scripts.client

The description's limits (lengths, patterns, ranges) are left out, because the app checks them, and unknown fields are
ignored, so that an older client works with a newer app.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from triggers.app import RESOURCES
from triggers.http.openapi import describe
from triggers.http.request_handling import Operation

MODELS = Path(__file__).parents[1] / "clients/python/agent_lifecycle_client/models.py"
_HEADER = '"""The API\'s values, generated from its openapi.json by `make client`. Do not edit."""'
_LIMITS = frozenset(
    {
        "maxLength", "minLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems",
        "maxItems", "minProperties", "maxProperties", "propertyNames", "title",
    }
)  # fmt: skip
_OPTIONS = (
    "--input-file-type=openapi",
    "--output-model-type=pydantic_v2.BaseModel",
    "--target-python-version=3.11",
    "--use-standard-collections",
    "--use-union-operator",
    "--use-schema-description",
    "--use-double-quotes",
    "--collapse-root-models",
    "--disable-timestamp",
    "--enum-field-as-literal=all",
    "--formatters=ruff-format",
)


def document() -> dict[str, Any]:
    """Return the API's description."""
    return describe([Operation(endpoint, each.__name__) for each in RESOURCES for endpoint in each.ENDPOINTS])


def models() -> str:
    """Return the source of the models.

    Raises:
        RuntimeError: The generator failed or printed a warning; the text is its output.
    """
    schemas = cast("dict[str, Any]", _plain(document()["components"]["schemas"]))
    about = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {}}
    reduced = about | {"components": {"schemas": schemas}}
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "openapi.json", Path(directory) / "models.py"
        source.write_text(json.dumps(reduced), encoding="utf-8")
        command = [sys.executable, "-m", "datamodel_code_generator", f"--input={source}", f"--output={target}"]
        done = subprocess.run([*command, *_OPTIONS], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode or done.stderr.strip():
            raise RuntimeError(done.stderr)
        text = target.read_text(encoding="utf-8")
    body = text[text.index("from __future__") :]
    return f"{_HEADER}\n\n{body}"


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("Mapping[str, Any]", schema)
    left_out = _LIMITS | {"default"} if found.get("format") == "time" else _LIMITS  # the generator writes it as a text
    kept: dict[str, Any] = {}
    for name, value in found.items():
        if name == "properties":
            kept[name] = {field: _plain(each) for field, each in value.items()}
        elif name == "patternProperties":  # patterns of property names are limits, too
            kept["additionalProperties"] = _plain(next(iter(value.values())))
        elif name not in left_out and not (name == "additionalProperties" and value is False):
            kept[name] = _plain(value)
    return kept


if __name__ == "__main__":
    MODELS.write_text(models(), encoding="utf-8")
