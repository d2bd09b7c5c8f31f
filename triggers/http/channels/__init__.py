"""Channels, where notifications go."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint(
        "PUT",
        "channels/{name}",
        "channels_put",
        "Set where notifications go. Setting it to the same again changes nothing.",
        body="ChannelBody",
        returns="ChannelView",
        also=201,
        errors=(409, 412),
    ),
    Endpoint(
        "DELETE",
        "channels/{name}",
        "channels_delete",
        "Remove a channel and its deliveries.",
        status=204,
        errors=(404, 412),
    ),
    Endpoint(
        "POST",
        "channels/{name}/test",
        "channels_test",
        "Send a test notification to a channel; its deliveries say what became of it.",
        status=202,
        errors=(404,),
    ),
    Endpoint("GET", "channels", "channels_list", "List channels by name; never more than 20.", returns="ChannelPage"),
    Endpoint("GET", "channels/{name}", "channels_get", "Get a channel.", returns="ChannelView", errors=(404,)),
    Endpoint(
        "GET",
        "channels/{name}/deliveries",
        "channels_deliveries",
        "List what became of a channel's notifications, newest first.",
        returns="DeliveryPage",
        query=PAGING,
        errors=(404,),
    ),
)
