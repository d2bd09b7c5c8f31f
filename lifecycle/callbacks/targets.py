"""Where callbacks may go, and what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kernel.clock import rfc3339
from kernel.errors import InvalidInput, Unavailable
from kernel.ids import is_text
from lifecycle.callbacks.a2a import FORMATS
from llmops.notifications.signing import check_secret

if TYPE_CHECKING:
    from lifecycle.conversations.callback import Callback
    from lifecycle.conversations.run import Run
    from llmops.notifications.channels import UrlCheck

Setting = Callable[[str], str | None]
"""Returns an app setting by its name; None where there is none."""

LARGEST_MESSAGE = 200_000
"""Bytes of a reply's body; a queue message of the standard tier holds 256 KiB in all."""
_SECRET_SETTING = re.compile(r"CALLBACK_SECRET(?:_[A-Z0-9_]{1,50})?")
_CORRELATION = 128
_HEADER = 4096


class CallbackTargets:
    """Says where callbacks may go, and what they are signed with."""

    def __init__(self, urls: UrlCheck, setting: Setting, queues: Collection[str]) -> None:
        """Set what checks URLs, what reads app settings, and the queues that replies may go to."""
        self._urls = urls
        self._setting = setting
        self._queues = {queue.casefold(): queue for queue in queues}

    async def check(self, callback: Callback) -> None:
        """Check that a run's end can be reported so.

        Raises:
            InvalidInput: It names both a URL and a queue, or neither (`invalid_callback`), a URL that webhooks may not
                go to (its own code), a setting that holds no secret (`callback_secret_unknown`) or a queue that is not
                for replies (`reply_queue_not_allowed`).
        """
        if bool(callback.url) == bool(callback.queue):
            raise _invalid("", "give either url or queue")
        if callback.format not in ("", *FORMATS):
            raise _invalid("/format", f"one of {', '.join(FORMATS)}, or none")
        if callback.format and callback.queue:
            raise _invalid("/format", "is for urls")
        if (callback.token or callback.authorization or callback.id) and not callback.format:
            raise _invalid("/token", "token, authorization and id are for push notifications; say their format")
        if not all(_fits_header(value) for value in (callback.token, callback.authorization, callback.id)):
            raise _invalid("/token", "printable ASCII characters, at most 4,096")
        if callback.url:
            if callback.session_id or callback.correlation_id:
                raise _invalid("/session_id", "session_id and correlation_id are for queues")
            try:
                await self._urls.check(callback.url)
            except InvalidInput as error:
                fields = {f"/callback{place}": what for place, what in error.fields.items()}
                raise InvalidInput(error.detail, code=error.code, fields=fields) from None
            if callback.secret_setting:
                self.secret(callback.secret_setting)
            return
        if callback.secret_setting:
            raise _invalid("/secret_setting", "is for urls; a queue says itself who may send to it")
        self.queue(callback.queue)
        if callback.session_id and not is_text(callback.session_id):
            raise _invalid("/session_id", "is no session id")
        if len(callback.correlation_id) > _CORRELATION or not callback.correlation_id.isprintable():
            raise _invalid("/correlation_id", f"at most {_CORRELATION} printable characters")

    def secret(self, name: str) -> str:
        """Return what webhooks are signed with; an empty name signs nothing.

        Raises:
            InvalidInput: There is no such setting, or it holds no secret.
        """
        if not name:
            return ""
        rule = "the name of an app setting that begins with CALLBACK_SECRET and holds a secret like whsec_…"
        fields = {"/callback/secret_setting": rule}
        if not _SECRET_SETTING.fullmatch(name) or not (value := self._setting(name)):
            raise InvalidInput(f"secret_setting is {rule}.", code="callback_secret_unknown", fields=fields)
        try:
            check_secret(value)
        except InvalidInput:
            raise InvalidInput(f"secret_setting is {rule}.", code="callback_secret_unknown", fields=fields) from None
        return value

    def queue(self, name: str, place: str = "/callback/queue") -> str:
        """Return the queue of that name, as the broker spells it; `place` says where the name stands.

        Raises:
            InvalidInput: Replies may not go there; a queue of runs is never one of them.
        """
        found = self._queues.get(name.casefold())
        if found is None:
            known = ", ".join(sorted(self._queues.values())) or "none; see REPLY_QUEUES"
            fields = {place: f"one of: {known}"}
            msg = f"Replies go to queues that the app's settings name: {known}."
            raise InvalidInput(msg, code="reply_queue_not_allowed", fields=fields)
        return found


def _fits_header(value: str) -> bool:
    return len(value) <= _HEADER and value.isascii() and (not value or value.isprintable())


def shown(callback: Callback) -> str:
    """Return where a callback goes, without what may be a secret in it."""
    return f"queue {callback.queue}" if callback.queue else urlsplit(callback.url).hostname or ""


def report_id(run_id: str, redriven: int) -> str:
    """Return what receivers know a report by: the same however often it is sent."""
    return f"run_{run_id}_{redriven}"


def report_of(run: Run, *, most_bytes: int | None = None) -> bytes:
    """Return what is told of an ended run: the envelope that Standard Webhooks recommends, with the run as its data.

    Args:
        run: The run.
        most_bytes: The most that the receiver takes; a longer answer is left out, and `answer_omitted` is true.
    """
    body = _dumped(run, omitted=False)
    return body if most_bytes is None or len(body) <= most_bytes else _dumped(run, omitted=True)


def _dumped(run: Run, *, omitted: bool) -> bytes:
    data: dict[str, Any] = {
        "id": run.id,
        "workspace": run.workspace,
        "agent": run.agent,
        "session_id": run.session_id,
        "user_id": run.user_id,
        "state": run.state.value,
        "answer": None if omitted else run.answer,
        "answer_omitted": omitted,
        "finish_reason": run.finish_reason,
        "model": run.model,
        "error": {"code": run.error.code, "detail": run.error.detail} if run.error else None,
        "cost_micro_usd": run.spend.cost_micro_usd,
        "redriven": run.redriven,
        "metadata": dict(run.metadata),
        "created_at": rfc3339(run.created_at),
        "finished_at": rfc3339(run.finished_at) if run.finished_at else None,
    }
    envelope = {"type": event_of(run), "timestamp": data["finished_at"], "data": data}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def event_of(run: Run) -> str:
    """Return what a report's type is: `run.succeeded`, `run.failed` or `run.cancelled`."""
    return f"run.{run.state.value}"


def no_broker() -> Unavailable:
    """Return the error where there is no Service Bus that replies could go by."""
    return Unavailable("There is no Service Bus namespace to reply by.", code="reply_queues_not_configured")


def _invalid(place: str, rule: str) -> InvalidInput:
    return InvalidInput(f"callback{place}: {rule}.", code="invalid_callback", fields={f"/callback{place}": rule})
