"""What the API answers of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triggers.views.base import View


class HealthView(View):
    """Whether the app and what it stands on can be reached; `warnings` do not make it unhealthy."""

    status: str
    components: Mapping[str, str]
    warnings: Sequence[str]


class ProblemView(View):
    """An error (RFC 9457); `code` is stable, `errors` says which fields are wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, Any]] = ()
