"""The Table service of a storage account, and how requests to it are authorised, as azure-core policies.

Shared Key signatures follow learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key for the Table
service; shared access signatures and tokens are azure-core's. Imported on first use.
"""

from __future__ import annotations

import hmac
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import Any
from wsgiref.handlers import format_date_time

from azure.core.credentials import AzureSasCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AzureSasCredentialPolicy, SansIOHTTPPolicy
from yarl import URL

from kernel.lazy_dataclass import dataclass

_EMULATOR = (
    "AccountName=devstoreaccount1;TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;AccountKey="
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # published key
)
_SCOPE = "https://storage.azure.com/.default"  # the same in every cloud


@dataclass(frozen=True, slots=True)
class Account:
    """A Table service.

    Attributes:
        url: Its endpoint, without a slash at the end.
        authorize: The policy that adds the credential to a request.
    """

    url: str
    authorize: Any


class SharedKey(SansIOHTTPPolicy[Any, Any]):
    """Signs each attempt of a request with the account's key.

    Raises:
        ValueError: The key is not base64; on construction.
    """

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        try:
            self._key = b64decode(key, validate=True)
        except NotBase64:
            msg = "the AccountKey of a storage connection string is not base64"
            raise ValueError(msg) from None

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Set Authorization; the date is `Dated`'s."""
        sent = request.http_request
        headers = sent.headers
        path = URL(sent.url).raw_path  # as aiohttp will send it
        text = f"{sent.method}\n\n{headers.get('Content-Type', '')}\n{headers['x-ms-date']}\n/{self._account}{path}"
        signature = b64encode(hmac.digest(self._key, text.encode(), "sha256")).decode()
        headers["Authorization"] = f"SharedKey {self._account}:{signature}"


class Dated(SansIOHTTPPolicy[Any, Any]):
    """Sets the date of each attempt of a request: the service refuses requests older than 15 minutes."""

    def __init__(self) -> None:
        self._second, self._date = 0, ""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Set x-ms-date."""
        if (now := int(time.time())) != self._second:
            self._second, self._date = now, format_date_time(now)
        request.http_request.headers["x-ms-date"] = self._date


def from_connection_string(text: str) -> Account:
    """Return the account of a storage connection string.

    Raises:
        ValueError: It names no account, or has neither a key nor a shared access signature. The error does not quote
            it.
    """
    if text.strip().rstrip(";").casefold() == "usedevelopmentstorage=true":
        text = _EMULATOR
    pairs = [item.partition("=") for item in text.split(";") if item.strip()]
    values = {name.strip().casefold(): value.strip() for name, _, value in pairs}
    name, key, signature = (values.get(each, "") for each in ("accountname", "accountkey", "sharedaccesssignature"))
    url = values.get("tableendpoint", "")
    if not url and name:
        suffix = values.get("endpointsuffix") or "core.windows.net"
        url = f"{values.get('defaultendpointsprotocol') or 'https'}://{name}.table.{suffix}"
    if not url or not (signature or (name and key)):
        msg = "a storage connection string names an account or a TableEndpoint, and a key or a shared access signature"
        raise ValueError(msg)
    authorize = SharedKey(name, key) if name and key else AzureSasCredentialPolicy(AzureSasCredential(signature))
    return Account(url.rstrip("/"), authorize)


def from_identity(url: str, credential: AsyncTokenCredential) -> Account:
    """Return the account at the endpoint, for the identity; tokens are sent over https only."""
    return Account(url.rstrip("/"), AsyncBearerTokenCredentialPolicy(credential, _SCOPE))
