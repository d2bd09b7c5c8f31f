"""Signatures by which receivers know that a webhook is ours, as Standard Webhooks 1.0 has them (standardwebhooks.com).

To verify: take HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body as received}` with the secret's decoded bytes,
compare its base64 in constant time with what follows `v1,` in `webhook-signature`, and refuse timestamps that are more
than five minutes off. The libraries of that project do just this.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

from kernel.errors import InvalidInput

PREFIX = "whsec_"


def check_secret(secret: str) -> None:
    """Check that the secret is one.

    Raises:
        InvalidInput: It is not `whsec_` and 24 to 64 bytes in base64.
    """
    try:
        if 24 <= len(_key(secret)) <= 64:
            return
    except ValueError:
        pass
    rule = "'whsec_' followed by 24 to 64 random bytes in base64"
    raise InvalidInput(f"A secret is {rule}.", code="invalid_webhook_secret", fields={"/secret": rule})


def signed(secret: str, ident: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers that identify and date a webhook, and sign it; an empty secret signs nothing."""
    stamp = str(int(at.timestamp()))
    headers = {"webhook-id": ident, "webhook-timestamp": stamp}
    if secret:
        mac = hmac.new(_key(secret), f"{ident}.{stamp}.".encode() + body, hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(mac.digest()).decode()}"
    return headers


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        msg = "no prefix"
        raise ValueError(msg)
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        msg = "no base64"
        raise ValueError(msg) from None
