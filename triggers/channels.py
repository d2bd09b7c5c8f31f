"""HTTP: channels, where notifications go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.ids import new_id, newest_first_key
from llmops.notifications.channels import channel_name
from llmops.notifications.notification import Notification
from triggers.agents import PAGING
from triggers.api import Endpoint, Reply, page_token
from triggers.views.base import Page
from triggers.views.channels import ChannelBody, ChannelView, DeliveryView

if TYPE_CHECKING:
    from bootstrap.services import Services
    from llmops.notifications.channels import Channel
    from triggers.api import Api, Call


class ChannelPage(Page[ChannelView]):
    """Channels by name."""


class DeliveryPage(Page[DeliveryView]):
    """Deliveries, newest notification first."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of channels."""
    _register_reading(api, services)

    @api.handle(
        Endpoint(
            "PUT",
            "channels/{name}",
            "channels_put",
            "Set where notifications go. Setting it to the same again changes nothing.",
            body=ChannelBody,
            returns=ChannelView,
            also=201,
            errors=(409, 412),
        )
    )
    async def put(call: Call) -> Reply:
        name, body = channel_name(call.route("name")), call.body
        channel, new = await services.channels.put(call.workspace, name, body.wish(), call.header("if-match"))
        headers = {"ETag": channel.etag} | ({"Location": f"/api/channels/{name}"} if new else {})
        return Reply(_view(channel), 201 if new else 200, headers)

    @api.handle(
        Endpoint(
            "DELETE",
            "channels/{name}",
            "channels_delete",
            "Remove a channel and its deliveries.",
            status=204,
            errors=(404, 412),
        )
    )
    async def delete(call: Call) -> Reply:
        name = channel_name(call.route("name"))
        await services.channels.delete(call.workspace, name, call.header("if-match"))
        await services.deliveries.clear(call.workspace, name)
        return Reply(status=204)

    @api.handle(
        Endpoint(
            "POST",
            "channels/{name}/test",
            "channels_test",
            "Send a test notification to a channel; its deliveries say what became of it.",
            status=202,
            errors=(404,),
        )
    )
    async def test(call: Call) -> Reply:
        channel = await services.channels.get(call.workspace, channel_name(call.route("name")))
        text = "If you can read this, notifications reach this channel."
        note = Notification(
            new_id(), call.workspace, "channel.test", "info", "Test notification", text, at=services.clock()
        )
        await services.outbox.put(note, only=(channel.name,))
        return Reply(status=202, headers={"Location": f"/api/channels/{channel.name}/deliveries"})


def _register_reading(api: Api, services: Services) -> None:
    @api.handle(
        Endpoint("GET", "channels", "channels_list", "List channels by name; never more than 20.", returns=ChannelPage)
    )
    async def listing(call: Call) -> Reply:
        channels = await services.channels.list(call.workspace)
        return Reply(ChannelPage(items=[_view(channel) for channel in channels], next=None))

    @api.handle(
        Endpoint("GET", "channels/{name}", "channels_get", "Get a channel.", returns=ChannelView, errors=(404,))
    )
    async def get(call: Call) -> Reply:
        channel = await services.channels.get(call.workspace, channel_name(call.route("name")))
        return Reply(_view(channel), headers={"ETag": channel.etag})

    @api.handle(
        Endpoint(
            "GET",
            "channels/{name}/deliveries",
            "channels_deliveries",
            "List what became of a channel's notifications, newest first.",
            returns=DeliveryPage,
            query=PAGING,
            errors=(404,),
        )
    )
    async def deliveries(call: Call) -> Reply:
        channel = await services.channels.get(call.workspace, channel_name(call.route("name")))
        after = call.cursor(newest_first_key)
        found, following = await services.deliveries.list(call.workspace, channel.name, call.limit(), after)
        return Reply(DeliveryPage(items=[DeliveryView.of(each) for each in found], next=page_token(following)))


def _view(channel: Channel) -> ChannelView:
    return ChannelView(
        name=channel.name,
        url=channel.url,
        format=channel.format,
        events=channel.events,
        signed=bool(channel.secret),
        created_at=channel.created_at,
        updated_at=channel.updated_at,
    )
