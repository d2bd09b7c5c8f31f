"""Memory and CPU use of this process, from the operating system."""

from __future__ import annotations

import time
from pathlib import Path

from llmops.capacity.worker_resources import ProcessSample

_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files of control groups, version 2 and 1 (docs.kernel.org/admin-guide/cgroup-v2.html); absent elsewhere."""


class ProcessSampler:
    """Samples this process."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._cpu_s = 0.0
        self._share = 0.0

    def __call__(self) -> ProcessSample:
        """Return the current use; the CPU share is since the last sample, at least a second ago."""
        import psutil  # noqa: PLC0415 - cold start

        process, now = psutil.Process(), time.monotonic()
        times = process.cpu_times()
        cpu_s = times.user + times.system
        if self._at is None:
            self._at, self._cpu_s = now, cpu_s
        elif now - self._at >= 1:
            self._share = (cpu_s - self._cpu_s) / (now - self._at) / (psutil.cpu_count() or 1)
            self._at, self._cpu_s = now, cpu_s
        total = psutil.virtual_memory().total
        limits = [limit for path in _CONTAINER_LIMITS if (limit := _limit(path)) is not None]
        return ProcessSample(process.memory_info().rss, min([total, *limits]), min(1.0, max(0.0, self._share)), cpu_s)


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
