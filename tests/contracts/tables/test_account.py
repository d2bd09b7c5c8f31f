"""Who asks the Table service: connection strings, signatures, and tokens."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.policies import AzureSasCredentialPolicy
from azure.core.rest import HttpRequest
from azure.data.tables.aio import TableServiceClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.azure_tables import AzureTables
from adapters.table_account import SharedKey, from_connection_string, from_identity
from adapters.table_service import TableService
from kernel.errors import Unavailable
from kernel.tables import Delete, Insert, Row, RowExists, Span, Upsert
from tests.contracts.tables.conftest import start

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

KEY = "a2V5IG9mIHRoZSBhY2NvdW50"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("UseDevelopmentStorage=true", "http://127.0.0.1:10002/devstoreaccount1"),
        (" usedevelopmentstorage=TRUE; ", "http://127.0.0.1:10002/devstoreaccount1"),
        (f"AccountName=n;AccountKey={KEY}", "https://n.table.core.windows.net"),
        (f"DefaultEndpointsProtocol=http;AccountName=n;AccountKey={KEY}", "http://n.table.core.windows.net"),
        (f"accountname=n;accountkey={KEY};EndpointSuffix=core.chinacloudapi.cn;", "https://n.table.core.chinacloudapi.cn"),
        (f"AccountName=n;AccountKey={KEY};TableEndpoint=https://tables.example/;", "https://tables.example"),
        ("TableEndpoint=https://n.table.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D", "https://n.table.core.windows.net"),
        ("AccountName=n;SharedAccessSignature=?sv=1&sig=a%3D", "https://n.table.core.windows.net"),
    ],
)  # fmt: skip
def test_a_connection_string_names_the_account(text: str, url: str) -> None:
    """As for every SDK of Azure Storage: in any case and order, by its endpoint or by name and suffix."""
    account = from_connection_string(text)

    assert account.url == url
    assert isinstance(account.authorize, AzureSasCredentialPolicy if "Signature" in text else SharedKey)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "AccountName=n", f"AccountKey={KEY}", "AccountName=n;AccountKey=secret!", "TableEndpoint=x"],
)
def test_a_connection_string_that_names_none_is_refused(text: str) -> None:
    """Without a word of what it holds."""
    with pytest.raises(ValueError, match="storage connection string") as caught:
        from_connection_string(text)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path", "content_type", "signature"),
    [
        ("GET", "/runs()?$top=2&$filter=PartitionKey%20eq%20'p'", "", "T0079oHfjaZURxM4RhLy/1lsSh+hlTSkmZ546sMTDYM="),
        ("POST", "/$batch", "multipart/mixed; boundary=batch_1", "dGi2eW/B++kznW+tRtHU4p5iQkoe5N3e3eUgMgnehVY="),
        (
            "PUT",
            "/runs(PartitionKey='p%27%27%C3%A9~',RowKey='a%20b%2B%25')",
            "application/json",
            "C/cvmccykIb/gS1QY7OleqjCNO6tlaVzI4hqgEXyPi8=",
        ),
    ],
)
def test_a_request_is_signed_as_the_service_reckons(method: str, path: str, content_type: str, signature: str) -> None:
    """Over method, type, date and path, as Microsoft's own client signs it; the query is left out."""
    headers = {"x-ms-date": "Mon, 30 Nov 2026 11:52:58 GMT", "Content-Type": content_type}
    request = HttpRequest(method, f"https://n.table.core.windows.net{path}", headers=headers)
    SharedKey("n", KEY).on_request(PipelineRequest(request, PipelineContext(None)))

    assert request.headers["Authorization"] == f"SharedKey n:{signature}"


async def test_a_token_never_travels_in_the_clear() -> None:
    """The service is asked over TLS or not at all."""
    asked: list[Any] = []

    async def get_token(*scopes: str, **_: object) -> AccessToken:
        asked.append(scopes)
        return AccessToken("secret", 1 << 40)

    tables = AzureTables.from_endpoint("http://127.0.0.1:1", SimpleNamespace(get_token=get_token))  # pyright: ignore[reportArgumentType]
    with pytest.raises(Unavailable) as caught:
        await tables.get("table", "p", "a")
    await tables.aclose()

    assert asked == []
    assert "secret" not in str(caught.value)


class Identity:
    """Gives tokens of the form that Microsoft Entra ID gives, for the audience asked for."""

    def __init__(self, issuer: str = "https://sts.windows.net/tenant/") -> None:
        self._issuer = issuer
        self.scopes: list[tuple[str, ...]] = []

    async def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.scopes.append(scopes)
        now = int(time.time())
        claims = {
            "aud": scopes[0].removesuffix("/.default"),
            "iss": self._issuer,
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 3600,
        }
        texts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        token = ".".join([*(base64.urlsafe_b64encode(text).decode().rstrip("=") for text in texts), "c2ln"])
        return AccessToken(token, now + 3600)


@pytest.fixture(scope="module")
def secure(azurite: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Yield the https endpoint of an emulator that takes tokens, and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("secure")
    certificate, private = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    process, port = start("--oauth", "basic", "--cert", str(certificate), "--key", str(private))
    yield f"https://127.0.0.1:{port}/devstoreaccount1", str(certificate)
    process.kill()
    process.wait()


def over_tls(url: str, certificate: str, identity: Identity) -> AzureTables:
    """Return tables that trust the emulator's certificate."""
    credential = cast("AsyncTokenCredential", identity)
    return AzureTables(
        lambda: TableService(from_identity(url, credential), connection_verify=certificate),
        lambda: TableServiceClient(url, credential=credential, connection_verify=certificate),
    )


async def test_the_apps_identity_reads_and_writes(secure: tuple[str, str], table: str) -> None:
    """Alone and in transactions, with one token for all rows, asked for the audience of storage."""
    (url, certificate), identity = secure, Identity()
    tables = over_tls(url, certificate, identity)
    await tables.commit(table, [Insert(Row("p", key, {"n": 1})) for key in "abc"])
    await tables.commit(table, [Delete("p", "b"), Upsert(Row("p", "c", {"n": 2}))])
    with pytest.raises(RowExists):
        await tables.commit(table, [Insert(Row("p", "a", {}))])
    found = await tables.query(table, Span("p"))
    await tables.aclose()

    assert {row.key: row.integer("n") for row in found.rows} == {"a": 1, "c": 2}
    assert identity.scopes == [("https://storage.azure.com/.default",)] * 2  # once for all rows, once to make the table


async def test_an_identity_that_the_service_refuses_is_unavailable(secure: tuple[str, str], table: str) -> None:
    """To the caller it is a dependency that does not work."""
    url, certificate = secure
    identity = Identity("https://elsewhere.example/")
    tables = over_tls(url, certificate, identity)
    with pytest.raises(Unavailable):
        await tables.get(table, "p", "a")
    await tables.aclose()
