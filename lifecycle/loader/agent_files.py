"""Storage of agents' configurations and activity as files of a directory; crash-safe.

`configurations/{two digits}/{id}.json`   one configuration each, so that opening an agent reads one file;
`activity.json`                           how the agents used most were used;
`set-aside/{name}.{number}`               files that could not be read: damaged, or of a later version.

Files are written to a temporary name and renamed, so that readers see either the old or the new content.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from dataclasses import field
from datetime import datetime
from glob import iglob
from pathlib import Path
from typing import TypeVar

from kernel.codec import JsonCodec, Unreadable
from kernel.errors import InvalidInput, Unavailable
from kernel.ids import agent_name, new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.loader.usage_statistics import Activity

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AgentConfiguration:
    """Configuration of an agent that can be loaded.

    Attributes:
        agent_id: 1-63 characters of a-z, 0-9, `_`, `-`, alphanumeric at both ends.
        specialty: Its purpose.
        system_prompt: Its instructions, at most 100,000 characters.
        model_name: Name of its model or deployment.
        temperature: Sampling temperature 0-2; None for the provider's default.
        max_tokens: Most tokens of an answer, at least 1; None for the provider's default.
        tools: Names of its function tools.
        created_at: When it was added, aware UTC; None to use the present time.
    """

    agent_id: str
    specialty: str = ""
    system_prompt: str = ""
    model_name: str = "gpt-5-mini"
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[str, ...] = ()
    created_at: datetime | None = None


def checked(configuration: AgentConfiguration) -> AgentConfiguration:
    """Return the configuration if it is valid.

    Raises:
        InvalidInput: A value is out of bounds (code `invalid_configuration`; `fields` names it).
    """
    wrong: dict[str, str] = {}
    try:
        agent_name(configuration.agent_id)
    except InvalidInput as error:
        wrong["/agent_id"] = error.detail
    if configuration.temperature is not None and not 0 <= configuration.temperature <= 2:
        wrong["/temperature"] = "must be from 0 to 2"
    if configuration.max_tokens is not None and configuration.max_tokens < 1:
        wrong["/max_tokens"] = "must be at least 1"
    if len(configuration.system_prompt) > 100_000:
        wrong["/system_prompt"] = "must have at most 100,000 characters"
    if not configuration.model_name:
        wrong["/model_name"] = "must not be empty"
    if configuration.created_at is not None and configuration.created_at.tzinfo is None:
        wrong["/created_at"] = "must have a time zone"
    if wrong:
        msg = "The configuration is not valid: " + "; ".join(f"{at[1:]} {fault}" for at, fault in wrong.items())
        raise InvalidInput(msg, code="invalid_configuration", fields=wrong)
    return configuration


@dataclass(frozen=True, slots=True)
class StoredActivity:
    """Content of the activity file: agents' statistics by id, and those of preloading."""

    agents: dict[str, Activity] = field(default_factory=dict[str, Activity])


_CONFIGURATION = JsonCodec(AgentConfiguration)
_ACTIVITY = JsonCodec(StoredActivity)


class LoaderFiles:
    """Reads and writes the files. Calls block. Unreadable files are moved to `set-aside/`.

    Attributes:
        set_aside: New paths of unreadable files since this object was made; the last hundred.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.set_aside: list[str] = []

    def load(self, agent_id: str) -> AgentConfiguration | None:
        """Return a configuration; None if there is none, or it was unreadable."""
        return self._read(self._place(agent_id), _CONFIGURATION)

    def save(self, configuration: AgentConfiguration) -> bool:
        """Store a configuration; return whether it is new.

        Raises:
            Unavailable: It cannot be written (code `files_unavailable`); the old content stays.
        """
        place = self._place(configuration.agent_id)
        new = not place.exists()
        self._write(place, _CONFIGURATION.dump(configuration))
        return new

    def delete(self, agent_id: str) -> bool:
        """Delete a configuration; return whether there was one."""
        try:
            self._place(agent_id).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unavailable("deleted", error) from error
        return True

    def count(self) -> int:
        """Return the number of configurations; lists directories without reading files."""
        # Not by `Path.glob`: a path interns its name, and the interpreter's table of interned strings never shrinks.
        return sum(1 for _ in iglob("[0-9a-f][0-9a-f]/*.json", root_dir=self._configurations))  # noqa: PTH207

    def load_activity(self) -> dict[str, Activity]:
        """Return the stored activity; empty if there is none, or it was unreadable."""
        found = self._read(self._directory / "activity.json", _ACTIVITY)
        return found.agents if found else {}

    def save_activity(self, agents: dict[str, Activity]) -> None:
        """Store the activity.

        Raises:
            Unavailable: It cannot be written (code `files_unavailable`); the old content stays.
        """
        self._write(self._directory / "activity.json", _ACTIVITY.dump(StoredActivity(agents)))

    @property
    def _configurations(self) -> Path:
        return self._directory / "configurations"

    def _place(self, agent_id: str) -> Path:
        part = hashlib.sha256(agent_id.encode()).hexdigest()[:2]
        return self._configurations / part / f"{agent_id}.json"

    def _read(self, place: Path, codec: JsonCodec[T]) -> T | None:
        try:
            return codec.load(place.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (Unreadable, UnicodeDecodeError) as error:
            self._set_aside(place, "damaged, or of a later version" if isinstance(error, Unreadable) else "no text")
            return None
        except OSError as error:
            raise _unavailable("read", error) from error

    def _set_aside(self, place: Path, why: str) -> None:
        destination = self._directory / "set-aside" / f"{place.name}.{new_id()}"
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            place.replace(destination)
        except FileNotFoundError:
            return  # another reader has moved it
        except OSError as error:
            raise _unavailable("set aside", error) from error
        self.set_aside = [*self.set_aside[-99:], str(destination)]
        log.error(
            "%s cannot be read: %s; it was moved to %s",
            place.name,
            why,
            destination.name,
            extra={"event": "loader.file_set_aside"},
        )

    def _write(self, place: Path, text: str) -> None:
        # A unique temporary name for every write, so that concurrent writes do not mix.
        beside = place.with_name(f"{place.name}.{new_id()}.tmp")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(text, "utf-8")
            beside.replace(place)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise _unavailable("written", error) from error


def _unavailable(what: str, error: OSError) -> Unavailable:
    msg = f"A file of the loader cannot be {what}: {error.strerror or type(error).__name__}."
    return Unavailable(msg, code="files_unavailable")
