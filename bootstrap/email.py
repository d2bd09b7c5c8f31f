"""The mailer that the settings select. Connects to nothing, and imports only what is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.email_azure import AzureMailer
    from adapters.email_smtp import SmtpMailer
    from kernel.settings import Settings


def make_mailer(settings: Settings) -> SmtpMailer | AzureMailer | None:
    """Return the mailer; None where no sender is set."""
    if not settings.email_from:
        return None
    if settings.smtp_host:
        from adapters.email_smtp import SmtpMailer, SmtpServer  # noqa: PLC0415 - only what is set

        password = settings.smtp_password.get_secret_value()
        server = SmtpServer(
            settings.smtp_host, settings.smtp_port, settings.smtp_security, settings.smtp_username, password
        )
        return SmtpMailer(server, settings.email_from)
    from adapters.email_azure import AzureMailer  # noqa: PLC0415 - see above
    from adapters.identity import AppIdentity  # noqa: PLC0415 - see above

    connection = settings.email_connection.get_secret_value()
    identity = None if connection else AppIdentity()
    return AzureMailer(settings.email_from, connection=connection, endpoint=settings.email_endpoint, identity=identity)
