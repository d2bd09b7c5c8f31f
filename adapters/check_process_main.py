"""The process in which checks run (`adapters.check_processes`): reads calls, makes them, writes their results.

It ends when its input ends. If its app dies while a check hangs, an interpreter watchdog (`faulthandler`), which works
even while the interpreter is blocked, ends it soon after the time limit.
"""

from __future__ import annotations

import faulthandler
import json
import os
import pickle
import struct
import sys
from typing import BinaryIO

from lifecycle.evaluation.checks import Call, perform

_LENGTH = struct.Struct(">I")
_GRACE_S = 5.0


def main() -> None:
    """Serve until the input ends."""
    calls = sys.stdin.buffer
    # What a check prints must not be mistaken for its result.
    with os.fdopen(os.dup(1), "wb") as found, open(os.devnull, "w") as nowhere:  # noqa: PTH123 - no path
        os.dup2(2, 1)
        _write(found, b"ready")
        while request := _read(calls):
            call, limit_s = _loaded(request)
            faulthandler.dump_traceback_later(limit_s + _GRACE_S, exit=True, file=nowhere)
            part = perform(call)
            faulthandler.cancel_dump_traceback_later()
            _write(found, json.dumps([part.value, part.reason]).encode())


def _loaded(request: bytes) -> tuple[Call, float]:
    return pickle.loads(request)  # noqa: S301 - of our own app, by a pipe that nobody else has


def _read(stream: BinaryIO) -> bytes:
    head = stream.read(_LENGTH.size)
    return stream.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""


def _write(stream: BinaryIO, message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


if __name__ == "__main__":
    main()
