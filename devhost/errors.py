"""Errors that keep the host from starting; each message is one line that says what to change."""


class StartupError(Exception):
    """The host cannot start; the message names the function, setting or port at fault."""


class PortTakenError(StartupError):
    """A requested port is in use by another program."""

    def __init__(self, port: int, option: str) -> None:
        super().__init__(f"Port {port} is already in use. Stop the program that uses it, or choose another: {option}")
        self.port = port
