"""Large texts in Azure Blob Storage, or in Azurite, its emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from kernel.errors import Unavailable
from kernel.large_texts import LargeTexts, TextNotFound, check_key, check_prefix

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.storage.blob.aio import BlobServiceClient, ContainerClient

CONTAINER = "texts"
_DELETED_AT_ONCE = 16
_NO_CONTAINER = frozenset({"ContainerNotFound", "ContainerBeingDeleted"})
_RETRIES = 2
_BOUNDS: dict[str, Any] = {
    # As for tables: the caller has a time limit itself, so fail while it can still respond.
    "connection_timeout": 5,
    "read_timeout": 20,
    # aiohttp warns that writing more at once blocks the event loop; a longer text is uploaded in blocks and then
    # committed.
    "max_single_put_size": 1 << 20,
    "max_block_size": 1 << 20,
}


def _options() -> dict[str, Any]:
    from azure.storage.blob.aio import LinearRetry  # noqa: PLC0415 - see BlobTexts

    retry = LinearRetry(backoff=1, retry_total=_RETRIES, random_jitter_range=0)
    return {**_BOUNDS, "retry_policy": retry, "use_env_settings": bool(getproxies())}


class BlobTexts(LargeTexts):
    """Texts as blobs of one container, which is created when it is first written to.

    Nothing is connected, nor the SDK imported (0.3 s), before the first call. One object is bound to one event loop.
    """

    def __init__(self, connect: Callable[[], BlobServiceClient]) -> None:
        self._connect = connect
        self._service: BlobServiceClient | None = None
        self._made: ContainerClient | None = None

    @classmethod
    def from_connection_string(cls, conn: str) -> BlobTexts:
        """Return texts in the account of the connection string."""

        def connect() -> BlobServiceClient:
            from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415 - see the class

            return BlobServiceClient.from_connection_string(conn, **_options())

        return cls(connect)

    @classmethod
    def from_endpoint(cls, url: str, credential: AsyncTokenCredential) -> BlobTexts:
        """Return texts in the account at the URL of its blob service; the caller closes the credential."""

        def connect() -> BlobServiceClient:
            from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415 - see the class

            return BlobServiceClient(url, credential=credential, **_options())

        return cls(connect)

    async def put(self, key: str, text: str) -> None:
        """Store the text under the key; repeating it changes nothing."""
        check_key(key)
        data = text.encode()
        from azure.core.exceptions import AzureError, ResourceExistsError  # noqa: PLC0415 - see the class

        try:
            try:
                await self._upload(key, data)
            except AzureError as error:
                if _code(error) not in _NO_CONTAINER:
                    raise
                with suppress(ResourceExistsError):  # another worker was faster
                    await self._container().create_container()
                await self._upload(key, data)
        except ResourceExistsError as error:
            if _code(error) != "BlobAlreadyExists":
                raise _unavailable(error) from None
        except AzureError as error:
            raise _unavailable(error) from None  # the SDK's texts contain URLs and what was signed

    async def get(self, key: str) -> str:
        """Return the text under the key."""
        check_key(key)
        from azure.core.exceptions import AzureError, ResourceNotFoundError  # noqa: PLC0415 - see the class

        try:
            found = await self._container().download_blob(key)
            return (await found.readall()).decode()
        except ResourceNotFoundError as error:
            if _code(error) in _NO_CONTAINER | {"BlobNotFound"}:
                raise TextNotFound from None
            raise _unavailable(error) from None
        except (AzureError, ValueError) as error:  # the latter from the SDK, for a response that is not the service's
            raise _unavailable(error) from None

    async def delete(self, prefix: str) -> int:
        """Delete every text whose key begins with the prefix, and return their number."""
        check_prefix(prefix)
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - see the class

        count, pending = 0, list[str]()
        try:
            async for name in self._container().list_blob_names(name_starts_with=prefix):
                pending.append(name)
                if len(pending) == _DELETED_AT_ONCE:
                    count += await self._remove(pending)
                    pending = []
            return count + await self._remove(pending)
        except AzureError as error:
            if _code(error) in _NO_CONTAINER:
                return count
            raise _unavailable(error) from None

    async def aclose(self) -> None:
        """Close connections."""
        service, self._service, self._made = self._service, None, None
        if service is not None:
            await service.close()

    async def _upload(self, key: str, data: bytes) -> None:
        from azure.storage.blob import ContentSettings  # noqa: PLC0415 - see the class

        kind = ContentSettings(content_type="text/plain; charset=utf-8")
        await self._container().upload_blob(key, data, overwrite=False, content_settings=kind)

    async def _remove(self, names: list[str]) -> int:
        return sum(await asyncio.gather(*(self._remove_one(name) for name in names)))

    async def _remove_one(self, name: str) -> int:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - see the class

        try:
            await self._container().delete_blob(name)
        except ResourceNotFoundError:  # by another call that erases it too
            return 0
        return 1

    def _container(self) -> ContainerClient:
        if self._made is None:
            self._service = self._service or self._connect()
            self._made = self._service.get_container_client(CONTAINER)
        return self._made


def _code(error: Exception) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _unavailable(error: Exception) -> Unavailable:
    reason = " ".join(
        str(part) for part in (getattr(error, "status_code", None) or type(error).__name__, _code(error)) if part
    )
    detail = f"The blob service is unavailable ({reason}); try again later."
    return Unavailable(detail, code="storage_unavailable")
