"""Function keys: generated once in the state directory, checked only with --enforce-keys."""

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devhost.settings import read_json


@dataclass(frozen=True)
class Keys:
    """The keys of an app: a master key, a host key for all functions, and a key for each function."""

    master: str
    host: str
    functions: Mapping[str, str]

    @classmethod
    def load(cls, path: Path, function_names: Iterable[str]) -> "tuple[Keys, bool]":
        """Read the keys, generating missing ones.

        Returns:
            The keys, and whether any is new (to be shown to the user once).
        """
        stored = read_json(path)
        functions: dict[str, str] = stored.get("functions", {})
        content = {
            "master": stored.get("master") or secrets.token_urlsafe(40),
            "host": stored.get("host") or secrets.token_urlsafe(40),
            "functions": {name: functions.get(name) or secrets.token_urlsafe(40) for name in function_names},
        }
        changed = content != stored
        if changed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        return cls(content["master"], content["host"], content["functions"]), changed

    def allow(self, level: str, function: str | None, header: str | None, code: str | None) -> bool:
        """Return whether a request is allowed.

        Args:
            level: The trigger's auth level: ANONYMOUS, FUNCTION or ADMIN.
            function: The function; None for the host's own routes.
            header: `x-functions-key`, which takes precedence over `code`.
            code: The `code` query parameter.
        """
        if level.upper() == "ANONYMOUS":
            return True
        given = header if header is not None else code or ""
        accepted = [self.master]
        if level.upper() == "FUNCTION":
            accepted += [self.host, *(key for name, key in self.functions.items() if name == function)]
        return any(hmac.compare_digest(given.encode(), key.encode()) for key in accepted)
