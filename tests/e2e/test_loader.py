"""The loader over HTTP: what is learnt of real runs, what is preloaded, and what is refused."""

from __future__ import annotations

import pytest

from tests.e2e.support import Api
