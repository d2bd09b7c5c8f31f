"""Deletes channels with the history of their deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.errors import NotFound
from kernel.preconditions import check_match

if TYPE_CHECKING:
    from llmops.notifications.channels import ChannelStore
    from llmops.notifications.delivery_history import DeliveryHistory


async def delete_channel(
    channels: ChannelStore, deliveries: DeliveryHistory, workspace: str, name: str, if_match: str | None = None
) -> None:
    """Delete the channel and its history, the history first: whoever dies in between leaves a channel to delete again.

    What is recorded meanwhile is deleted after the channel, or by the next request to delete it.

    Raises:
        NotFound: There is no channel of that name.
        EtagMismatch: `if_match` is given and the channel has another ETag.
    """
    try:
        channel = await channels.get(workspace, name)
        check_match(if_match, channel.etag)
        await deliveries.clear(workspace, name)
        await channels.delete(workspace, name, if_match)
    except NotFound:
        await deliveries.clear(workspace, name)
        raise
    await deliveries.clear(workspace, name)
