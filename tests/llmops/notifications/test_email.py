"""Email over real connections to servers that speak the protocols, whatever notifications hold and servers say."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from adapters.email_azure import AzureMailer
from adapters.email_smtp import SmtpMailer, SmtpServer
from adapters.memory_tables import MemoryTables
from kernel.errors import AppError, InvalidInput
from kernel.settings import InvalidSettings, Settings
from llmops.notifications.channels import ChannelRequest, ChannelStore, EmailPolicy
from llmops.notifications.email import Email, Mailer, check_recipients, email_of, message_of
from llmops.notifications.notification_delivery import DeliveryRound, NotificationDelivery
from tests.lifecycle.doubles import NOW, ManualClock
from tests.llmops.notifications.mail_servers import KEY, EmailService, certificate, email_service, smtp_server
from tests.llmops.notifications.support import Post, note

ADA, BOB, FROM = "ada@example.com", "bob@example.com", "agents@example.org"


def email(*to: str, **fields: Any) -> Email:
    return email_of(note(**fields), "msg_1", to or (ADA,), NOW)


def plain(port: int, **more: Any) -> SmtpMailer:
    return SmtpMailer(SmtpServer("127.0.0.1", port, "none", **more), FROM)


async def code_of(mailer: Mailer, message: Email | None = None) -> tuple[str, bool]:
    """Return the code with which sending fails, and whether it may be tried again."""
    with pytest.raises(AppError) as failed:
        await mailer.send(message or email())
    assert ADA not in str(failed.value)
    return failed.value.code, failed.value.retriable


class Mail(Post):
    """Everything between a notification and a mailer."""

    def __init__(self, tables: MemoryTables, clock: ManualClock, mailer: Mailer, domains: Sequence[str] = ()) -> None:
        super().__init__(tables, clock)
        self.channels = ChannelStore(tables, self.webhooks, clock, EmailPolicy(tuple(domains)))
        self.courier = NotificationDelivery(self.outbox, self.channels, self.deliveries, self.webhooks, clock, mailer)

    async def mail_channel(self, *to: str) -> None:
        await self.channels.put("default", "mail", ChannelRequest(format="email", to=to or (ADA,)))


async def test_an_email_says_what_a_webhook_does(tables: MemoryTables) -> None:
    """As plain text and as HTML, from the app to the channel's addresses; the history says that it went."""
    async with smtp_server() as server:
        mail = Mail(tables, ManualClock(), plain(server.port))
        await mail.mail_channel(ADA, BOB)
        await mail.outbox.put(note(title="Grün & <b>", text="Zwei\nZeilen", facts={"Agent": "bot<1>"}))
        done = await mail.courier.deliver()

    ((to, message),) = server.received
    text, html = (part.get_content() for part in message.iter_parts())
    (delivery,) = await mail.history("mail")
    assert done == DeliveryRound(1, 0, 0)
    assert (to, message["From"], message["To"]) == ([ADA, BOB], FROM, f"{ADA}, {BOB}")
    assert message["Subject"] == "[warning] Grün & <b>"
    assert message["Message-ID"] == f"<{delivery.id}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "Zwei" in text
    assert "Agent: bot<1>" in text
    assert "<h2>Grün &amp; &lt;b&gt;</h2>" in html
    assert "bot&lt;1&gt;" in html
    assert (delivery.state, delivery.status, delivery.error, delivery.attempts) == ("delivered", 250, None, 1)


@given(title=st.text(max_size=300), name=st.text(max_size=80), value=st.text(max_size=80))
def test_nothing_that_a_notification_says_becomes_a_header(title: str, name: str, value: str) -> None:
    """Whatever characters it holds, line breaks of any kind included."""
    evil = "\r\nBcc: eve@example.com\r\n\r\nHello"
    facts = {name + evil: value + evil}
    message = message_of(email(title=title + evil, text=value + evil, facts=facts), FROM)
    raw = message.as_bytes()
    head = raw.split(b"\r\n\r\n", 1)[0]

    assert sorted(set(message.keys())) == [
        *("Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To")
    ]
    assert not any(line.lower().startswith(b"bcc") for line in head.split(b"\r\n"))
    assert raw.isascii()


@pytest.mark.parametrize(
    "address", ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@example.com\r\nBcc: x@y", "a@b,c@d", "<a@b>"]
)
def test_recipients_are_addresses(address: str) -> None:
    """One each: no list, no name, no line break."""
    with pytest.raises(InvalidInput) as refused:
        check_recipients([ADA, address], ())

    assert (refused.value.code, list(refused.value.fields)) == ("invalid_recipients", ["/to/1"])


def test_a_setting_says_which_domains_email_may_go_to() -> None:
    """However they are written; there are 1 to 20 recipients."""
    check_recipients(["ada@Example.COM"], ("example.com",))
    for wrong in ([BOB, "eve@sub.example.com"], ["eve@example.com.evil.org"], [], [ADA] * 21):
        with pytest.raises(InvalidInput) as refused:
            check_recipients(wrong, ("example.com",))
        assert refused.value.code == "invalid_recipients"


@pytest.mark.filterwarnings("ignore:Session.login_data:DeprecationWarning")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_the_connection_is_encrypted_and_the_app_signs_in(tmp_path: Path, security: Any) -> None:
    """With a certificate that is checked: who does not trust it says nothing."""
    ours, theirs = certificate(tmp_path)
    how: dict[str, Any] = {security: ours}
    async with smtp_server(**how, password="right") as server:

        def mailer(password: str, context: ssl.SSLContext | None) -> SmtpMailer:
            return SmtpMailer(SmtpServer("127.0.0.1", server.port, security, "app", password), FROM, context=context)

        assert await mailer("right", theirs).send(email()) == 250
        assert await code_of(mailer("wrong", theirs)) == ("smtp_sign_in_failed", True)
        assert await code_of(mailer("right", None)) == ("smtp_tls_failed", True)

    assert server.signed_in
    assert len(server.received) == 1


async def test_a_server_without_encryption_is_told_nothing() -> None:
    """It is not spoken to in the clear after all, as somebody in between would like."""
    async with smtp_server() as server:
        mailer = SmtpMailer(SmtpServer("127.0.0.1", server.port, "starttls", "app", "right"), FROM)

        assert await code_of(mailer) == ("smtp_tls_failed", True)
    assert server.received == []


async def test_what_a_mail_server_replies() -> None:
    """A 4xx may pass, a 5xx will not; some recipients refused is not sent to the others again; and silence."""
    async with smtp_server() as server:
        mailer = plain(server.port)
        server.replies = ["451 4.3.0 later", "554 5.7.1 spam"]
        replied = [await code_of(mailer), await code_of(mailer)]
        server.refused = {ADA: "550 5.1.1 no such ada@example.com"}
        replied += [await code_of(mailer), await code_of(mailer, email(ADA, BOB))]
        server.refused = {ADA: "450 4.2.1 greylisted"}
        replied += [await code_of(mailer)]
    replied += [await code_of(plain(1))]

    assert replied == [
        ("smtp_451", True),
        ("smtp_554", False),
        ("smtp_550", False),
        ("smtp_recipients_refused", False),
        ("smtp_450", True),
        ("smtp_unreachable", True),
    ]
    assert [to for to, _ in server.received] == [[BOB]]


async def test_an_email_that_does_not_go_is_tried_again_as_webhooks_are(tables: MemoryTables) -> None:
    """After a pause, under the same id; what will never go is given up at once. Both are in the history."""
    clock = ManualClock()
    async with smtp_server() as server:
        mail = Mail(tables, clock, plain(server.port))
        await mail.mail_channel()
        await mail.outbox.put(note("one"))
        server.replies = ["451 later"]
        first = await mail.courier.deliver()
        at_once = await mail.courier.deliver()
        clock.move(minutes=1)
        again = await mail.courier.deliver()
        server.replies = ["554 never"]
        await mail.outbox.put(note("two"))
        never = await mail.courier.deliver()

    history = {each.notification: (each.state, each.error, each.attempts) for each in await mail.history("mail")}
    assert [first, at_once, again, never] == [
        *(DeliveryRound(0, 1, 0), DeliveryRound(0, 0, 0), DeliveryRound(1, 0, 0), DeliveryRound(0, 0, 1))
    ]
    assert history == {"one": ("delivered", None, 2), "two": ("failed", "smtp_554", 1)}


def azure(service: EmailService) -> AzureMailer:
    return AzureMailer(FROM, connection=service.connection, ask_every_s=0.01)


async def test_email_by_azure_communication_services(tables: MemoryTables) -> None:
    """Signed with the key of the connection string; asked for until it is sent; known again by its id."""
    async with email_service() as service, azure(service) as mailer:
        mail = Mail(tables, ManualClock(), mailer)
        await mail.mail_channel(ADA, BOB)
        await mail.outbox.put(note(title="Over\r\nbudget"))
        service.ends = ["Running", "Succeeded"]
        done = await mail.courier.deliver()
        (delivery,) = await mail.history("mail")
        await mailer.send(email_of(note(title="Over\r\nbudget"), delivery.id, (ADA, BOB), NOW))

    (sent,) = service.received.values()
    assert done == DeliveryRound(1, 0, 0)
    assert (delivery.state, delivery.status) == ("delivered", 202)
    assert sent["senderAddress"] == FROM
    assert sent["recipients"] == {"to": [{"address": ADA}, {"address": BOB}]}
    assert sent["content"]["subject"] == "[warning] Over budget"
    assert "It is." in sent["content"]["plainText"]
    assert service.headers["Authorization"].startswith("HMAC-SHA256 ")
    assert KEY not in str(dict(service.headers))


async def test_what_the_email_service_answers() -> None:
    """Throttling and outages may pass, a refused email will not; what it says about addresses is told nobody."""
    async with email_service() as service, azure(service) as mailer:
        service.answers = [
            web.json_response({"error": {"code": "TooManyRequests"}}, status=429, headers={"Retry-After": "120"}),
            web.json_response({"error": {"code": "x"}}, status=503),
            web.json_response({"error": {"code": "BadRequest", "message": ADA}}, status=400),
            web.json_response({"error": {"code": "Denied"}}, status=401),
        ]
        with pytest.raises(AppError) as throttled:
            await mailer.send(email())
        answered = [await code_of(mailer) for _ in range(3)]
        service.ends = ["Failed"]
        answered.append(await code_of(mailer))
    async with AzureMailer(FROM, connection=f"endpoint=http://127.0.0.1:1/;accesskey={KEY}") as nowhere:
        answered.append(await code_of(nowhere))

    assert (throttled.value.code, throttled.value.retry_after_s) == ("email_http_429", 120)
    assert answered == [
        ("email_http_503", True),
        ("email_http_400", False),
        ("email_http_401", True),
        ("email_failed", False),
        ("email_unreachable", True),
    ]


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        (ChannelRequest(format="email"), "invalid_recipients", "/to"),
        (ChannelRequest(format="email", to=("x",)), "invalid_recipients", "/to/0"),
        (ChannelRequest("https://1.1.1.1/", format="email", to=(ADA,)), "invalid_channel", "/url"),
        (ChannelRequest(format="email", to=(ADA,), secret="whsec_x"), "invalid_channel", "/secret"),
        (ChannelRequest("https://1.1.1.1/", to=(ADA,)), "invalid_channel", "/to"),
    ],
)
async def test_wishes_for_email_that_are_not_valid(
    tables: MemoryTables, wanted: ChannelRequest, code: str, field: str
) -> None:
    """Each with its code and the field; nothing is stored."""
    mail = Mail(tables, ManualClock(), plain(1))
    with pytest.raises(InvalidInput) as refused:
        await mail.channels.put("default", "mail", wanted)

    assert (refused.value.code, list(refused.value.fields)) == (code, [field])
    assert await mail.channels.list("default") == []


async def test_email_is_refused_where_the_app_cannot_send_any(tables: MemoryTables) -> None:
    """A channel that would reach nobody is not taken; one from before is kept for when it can again."""
    clock = ManualClock()
    able, unable = Mail(tables, clock, plain(1)), Post(tables, clock)
    with pytest.raises(InvalidInput) as refused:
        await unable.channels.put("default", "mail", ChannelRequest(format="email", to=(ADA,)))
    await able.mail_channel()
    await unable.outbox.put(note())
    done = await unable.courier.deliver()

    (delivery,) = await able.history("mail")
    assert refused.value.code == "email_not_configured"
    assert (done, delivery.state, delivery.error) == (DeliveryRound(0, 1, 0), "retrying", "email_not_configured")


@pytest.mark.parametrize(
    "settings",
    [
        {"EMAIL_FROM": FROM},
        {"SMTP_HOST": "mail.example.org"},
        {"EMAIL_FROM": FROM, "SMTP_HOST": "mail.example.org", "EmailConnection": "endpoint=x;accesskey=y"},
        {"EMAIL_FROM": FROM, "SMTP_HOST": "mail.example.org", "SMTP_SECURITY": "none", "SMTP_USERNAME": "app"},
    ],
)
def test_settings_of_email_go_together(settings: dict[str, str]) -> None:
    """A sender without a server, a server without a sender, two servers, a password in the clear."""
    with pytest.raises(InvalidSettings):
        Settings.from_environment(settings)


def test_a_long_notification_fits() -> None:
    """What is too long is cut, and lines are folded as SMTP wants them."""
    raw = message_of(email(title="x" * 5000, text="y" * 50_000), FROM).as_bytes()

    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert len(raw) < 100_000
