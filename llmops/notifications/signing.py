"""Webhook signatures by which receivers verify the sender, as in Standard Webhooks 1.0 (standardwebhooks.com).

To verify: compute HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body as received}` with the decoded bytes of the
secret, compare its base64 in constant time with what follows `v1,` in `webhook-signature`, and refuse timestamps more
than five minutes off. The libraries of that project do this.
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
    """Check the format of a secret.

    Raises:
        InvalidInput: It is not `whsec_` followed by 24 to 64 bytes in base64.
    """
    try:
        if 24 <= len(_key(secret)) <= 64:
            return
    except ValueError:
        pass
    rule = "'whsec_' followed by 24 to 64 random bytes in base64"
    raise InvalidInput(f"A secret is {rule}.", code="invalid_webhook_secret", fields={"/secret": rule})


def signed(secret: str, ident: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers with a webhook's id, time and signature; with an empty secret, no signature."""
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
