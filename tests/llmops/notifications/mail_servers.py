"""Servers that email is sent to in tests: one that speaks SMTP, and one that answers as Azure's email service does."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's and a client's context with a certificate of 127.0.0.1 that only this client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "mail.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


@dataclass
class MailServer:
    """An SMTP server.

    Attributes:
        refused: Replies to recipients by address, instead of taking them.
        replies: Replies to emails, instead of taking them, first come first served.
        received: The emails taken, with the addresses they were for.
        signed_in: Whether who handed in the last email was signed in.
        port: Where it listens.
    """

    refused: dict[str, str] = field(default_factory=dict[str, str])
    replies: list[str] = field(default_factory=list[str])
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list[tuple[list[str], EmailMessage]])
    signed_in: bool = False
    port: int = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.replies:
            return self.replies.pop(0)
        self.signed_in = bool(session.authenticated)
        message = message_from_bytes(envelope.content, policy=default)
        self.received.append((list(envelope.rcpt_tos), message))  # pyright: ignore[reportArgumentType] - by its policy
        return "250 OK"


@asynccontextmanager
async def smtp_server(
    *, port: int = 0, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, password: str = ""
) -> AsyncIterator[MailServer]:
    """Run an SMTP server, at any free port unless one is given; with a password, `app` can sign in with it."""
    mail = MailServer()

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = data.login == b"app" and data.password == password.encode()
        return AuthResult(success=right, handled=right)

    spoken: list[SMTP] = []

    def protocol() -> SMTP:
        made = SMTP(
            mail,
            hostname="mail.test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=authenticate if password else None,
            auth_require_tls=False,
        )
        spoken.append(made)
        return made

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, ssl=tls)
    mail.port = server.sockets[0].getsockname()[1]
    try:
        yield mail
    finally:
        server.close()
        for each in spoken:
            if isinstance(each.transport, asyncio.Transport):
                each.transport.abort()
        await asyncio.sleep(0)
        await server.wait_closed()


@dataclass
class EmailService:
    """Azure's email service as its REST reference has it.

    Attributes:
        answers: Answers to emails handed in, instead of taking them, first come first served.
        ends: What becomes of an email, each time it is asked for: a status of the operation.
        received: The emails taken by the id of their operation; the same id again is the same email.
        headers: Those of the last request.
        connection: A connection string that leads here.
        url: Where it listens.
    """

    answers: list[web.Response] = field(default_factory=list[web.Response])
    ends: list[str] = field(default_factory=list[str])
    received: dict[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    url: str = ""

    @property
    def connection(self) -> str:
        return f"endpoint={self.url}/;accesskey={KEY}"

    async def send(self, request: web.Request) -> web.Response:
        self.headers = request.headers
        if self.answers:
            return self.answers.pop(0)
        ident = request.headers.get("Operation-Id") or str(uuid.uuid4())
        self.received[ident] = await request.json()
        where = {"Operation-Location": f"{self.url}/emails/operations/{ident}?api-version=1"}
        return web.json_response({"id": ident, "status": "Running"}, status=202, headers=where)

    async def operation(self, request: web.Request) -> web.Response:
        status = self.ends.pop(0) if self.ends else "Succeeded"
        body: dict[str, Any] = {"id": request.match_info["id"], "status": status}
        if status == "Failed":
            body["error"] = {"code": "EmailDropped", "message": "ada@example.com is suppressed"}
        return web.json_response(body)


@asynccontextmanager
async def email_service() -> AsyncIterator[EmailService]:
    """Run the email service."""
    service = EmailService()
    app = web.Application()
    app.router.add_post("/emails:send", service.send)
    app.router.add_get("/emails/operations/{id}", service.operation)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()
