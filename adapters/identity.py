"""The app's identity in Azure: its managed identity, or on a developer's machine the signed-in user."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
    from azure.identity.aio import DefaultAzureCredential


class AppIdentity:
    """A DefaultAzureCredential that is created, and its SDK imported, when the first token is requested."""

    def __init__(self) -> None:
        self._made: DefaultAzureCredential | None = None

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for the scopes."""
        return await self._credential().get_token(*scopes, **options)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token for the scopes, with its expiry and type."""
        return await self._credential().get_token_info(*scopes, options=options)

    async def close(self) -> None:
        """Release its connections."""
        if self._made is not None:
            await self._made.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    def _credential(self) -> DefaultAzureCredential:
        if self._made is None:
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - 0.2 s a cold start need not pay

            self._made = DefaultAzureCredential()
        return self._made
