"""Checks of callbacks' targets, and the content of reports."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kernel.clock import rfc3339
from kernel.errors import InvalidInput, Unavailable
from kernel.ids import is_text
from lifecycle.conversations.run_callbacks import A2A, A2A_OLD, Push
from llmops.notifications.signing import check_secret

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.run_callbacks import Callback
    from llmops.notifications.channels import UrlCheck

Setting = Callable[[str], str | None]
"""Returns an app setting by its name; None if it is not set."""

MOST_PUSHES = 10
"""To how many places the states of a run can be pushed."""
LARGEST_MESSAGE = 200_000
"""Most bytes of a reply's body; a queue message of the standard tier holds 256 KiB in all."""
_SECRET_SETTING = re.compile(r"CALLBACK_SECRET(?:_[A-Z0-9_]{1,50})?")
_CORRELATION = 128
_HEADER = 4096


class CallbackTargets:
    """Checks where callbacks may go, and finds the secrets that sign them."""

    def __init__(self, urls: UrlCheck, setting: Setting, queues: Collection[str]) -> None:
        """Set what checks URLs, what reads app settings, and the names of allowed reply queues."""
        self._urls = urls
        self._setting = setting
        self._queues = {queue.casefold(): queue for queue in queues}

    async def check(self, callback: Callback) -> None:
        """Check that a callback is valid and allowed.

        Raises:
            InvalidInput: It names both a URL and a queue, or nothing (`invalid_callback`), a URL that webhooks may not
                go to (its own code), a setting that holds no secret (`callback_secret_unknown`) or a queue that is not
                for replies (`reply_queue_not_allowed`).
        """
        if callback.url and callback.queue:
            raise _invalid("", "give either url or queue")
        if not (callback.url or callback.queue or callback.pushes):
            raise _invalid("", "give url, queue or pushes")
        await self._check_pushes(callback.pushes)
        if callback.url:
            await self._check_url(callback.url, "/callback")
            if callback.secret_setting:
                self.secret(callback.secret_setting)
        elif callback.secret_setting:
            raise _invalid("/secret_setting", "is for urls; a queue says itself who may send to it")
        if callback.queue:
            self._check_queue(callback)
        elif callback.session_id or callback.correlation_id:
            raise _invalid("/session_id", "session_id and correlation_id are for queues")

    async def _check_pushes(self, pushes: Sequence[Push]) -> None:
        if len(pushes) > MOST_PUSHES:
            raise _invalid("/pushes", f"at most {MOST_PUSHES}")
        if len({push.id for push in pushes}) < len(pushes):
            raise _invalid("/pushes", "each with an id of its own")
        for number, push in enumerate(pushes):
            place = f"/pushes/{number}"
            if push.format not in (A2A, A2A_OLD):
                raise _invalid(f"{place}/format", f"{A2A} or {A2A_OLD}")
            if not all(_fits_header(value) for value in (push.token, push.authorization, push.id)):
                raise _invalid(place, "token, authorization and id are printable ASCII characters, at most 4,096")
            await self._check_url(push.url, f"/callback{place}")

    async def _check_url(self, url: str, place: str) -> None:
        try:
            await self._urls.check(url)
        except InvalidInput as error:
            fields = {f"{place}{inner}": what for inner, what in error.fields.items()}
            raise InvalidInput(error.detail, code=error.code, fields=fields) from None

    def _check_queue(self, callback: Callback) -> None:
        self.queue(callback.queue)
        if callback.session_id and not is_text(callback.session_id):
            raise _invalid("/session_id", "is not a session id")
        if len(callback.correlation_id) > _CORRELATION or not callback.correlation_id.isprintable():
            raise _invalid("/correlation_id", f"at most {_CORRELATION} printable characters")

    def secret(self, name: str) -> str:
        """Return the secret that signs a webhook; empty for an empty name, which signs nothing.

        Raises:
            InvalidInput: There is no such setting, or it is not a secret (`callback_secret_unknown`).
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
        """Return the queue's name in the spelling of the settings.

        Raises:
            InvalidInput: It is not allowed for replies (`reply_queue_not_allowed`); queues of runs never are.
        """
        found = self._queues.get(name.casefold())
        if found is None:
            allowed = ", ".join(sorted(self._queues.values())) or "none; see REPLY_QUEUES"
            fields = {place: f"one of: {allowed}"}
            msg = f"Replies go to queues that the app's settings name: {allowed}."
            raise InvalidInput(msg, code="reply_queue_not_allowed", fields=fields)
        return found


def _fits_header(value: str) -> bool:
    return len(value) <= _HEADER and value.isascii() and (not value or value.isprintable())


def shown(target: Callback | Push) -> str:
    """Return where a report goes, without what may be a secret in it."""
    if not isinstance(target, Push) and target.queue:
        return f"queue {target.queue}"
    return urlsplit(target.url).hostname or ""


def report_id(run_id: str, redriven: int, *more: str) -> str:
    """Return what receivers know a report by: the same however often it is sent; `more` are a push and a state."""
    return "_".join(("run", run_id, str(redriven), *(each for each in more if each)))


def report_of(run: Run, *, most_bytes: int | None = None) -> bytes:
    """Return an ended run's report as JSON: the envelope that Standard Webhooks recommends, with the run as its data.

    Args:
        run: The run.
        most_bytes: Size limit of the receiver; if the report is larger, the answer and its tool calls are left out and
            `answer_omitted` is true.
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
        "tool_calls": [] if omitted else [asdict(call) for call in run.tool_calls],
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
    """Return the report's type: `run.succeeded`, `run.failed` or `run.cancelled`."""
    return f"run.{run.state.value}"


def no_broker() -> Unavailable:
    """Return the error for a reply queue where no Service Bus is configured."""
    return Unavailable("There is no Service Bus namespace to reply by.", code="reply_queues_not_configured")


def _invalid(place: str, rule: str) -> InvalidInput:
    return InvalidInput(f"callback{place}: {rule}.", code="invalid_callback", fields={f"/callback{place}": rule})
