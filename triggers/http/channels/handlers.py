"""Handlers of channels."""

from __future__ import annotations

from kernel.ids import new_id, newest_first_key
from lifecycle.events.forwarding import Forward
from llmops.notifications.channel_deletion import delete_channel
from llmops.notifications.channels import QUEUE_SCHEME, Channel, ChannelRequest, channel_name
from llmops.notifications.notification import Notification
from triggers.http.channels.views import ChannelPage, ChannelView, DeliveryPage, DeliveryView, StreamView
from triggers.http.handler_call import Call, Reply, page_token


def _view(channel: Channel, forward: Forward | None = None) -> ChannelView:
    queue = channel.url.removeprefix(QUEUE_SCHEME) if channel.url.startswith(QUEUE_SCHEME) else ""
    return ChannelView.of(
        channel,
        url="" if queue else channel.url,
        queue=queue,
        signed=bool(channel.secret),
        stream=StreamView.of(forward) if forward else None,
    )


async def channels_put(call: Call) -> Reply:
    name, body = channel_name(call.route("name")), call.body
    wanted: ChannelRequest = body.wish()
    if wanted.format == "cloudevents":
        await call.services.alerts.forwarding.begin(call.workspace, name)
    channel, new = await call.services.notifications.channels.put(call.workspace, name, wanted, call.header("if-match"))
    headers = {"ETag": channel.etag} | ({"Location": f"/api/channels/{name}"} if new else {})
    return Reply(_view(channel), 201 if new else 200, headers)


async def channels_delete(call: Call) -> Reply:
    name, notifications = channel_name(call.route("name")), call.services.notifications
    await delete_channel(
        notifications.channels, notifications.deliveries, call.workspace, name, call.header("if-match")
    )
    return Reply(status=204)


async def channels_test(call: Call) -> Reply:
    channel = await call.services.notifications.channels.get(call.workspace, channel_name(call.route("name")))
    text = "If you can read this, notifications reach this channel."
    note = Notification(
        new_id(), call.workspace, "channel.test", "info", "Test notification", text, at=call.services.core.clock()
    )
    await call.services.notifications.outbox.put(note, only=(channel.name,))
    return Reply(status=202, headers={"Location": f"/api/channels/{channel.name}/deliveries"})


async def channels_list(call: Call) -> Reply:
    channels = await call.services.notifications.channels.list(call.workspace)
    return Reply(ChannelPage(items=[_view(channel) for channel in channels], next=None))


async def channels_get(call: Call) -> Reply:
    channel = await call.services.notifications.channels.get(call.workspace, channel_name(call.route("name")))
    streamed = channel.format == "cloudevents"
    forward = await call.services.alerts.forwarding.state(call.workspace, channel.name) if streamed else None
    return Reply(_view(channel, forward), headers={"ETag": channel.etag})


async def channels_deliveries(call: Call) -> Reply:
    channel = await call.services.notifications.channels.get(call.workspace, channel_name(call.route("name")))
    after = call.cursor(newest_first_key)
    found, following = await call.services.notifications.deliveries.list(
        call.workspace, channel.name, call.limit(), after
    )
    return Reply(DeliveryPage(items=[DeliveryView.of(each) for each in found], next=page_token(following)))
