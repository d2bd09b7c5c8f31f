"""Channels, the receivers of notifications."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint(
        "PUT",
        "channels/{name}",
        "channels_put",
        "Set a channel. Setting the same again changes nothing.",
        body="ChannelBody",
        returns="ChannelView",
        also=201,
        errors=(409, 412),
    ),
    Endpoint(
        "DELETE",
        "channels/{name}",
        "channels_delete",
        "Delete a channel and its delivery history.",
        status=204,
        errors=(404, 412),
    ),
    Endpoint(
        "POST",
        "channels/{name}/test",
        "channels_test",
        "Send a test notification to a channel; its outcome is in the channel's deliveries.",
        status=202,
        errors=(404,),
    ),
    Endpoint("GET", "channels", "channels_list", "List channels by name; at most 20.", returns="ChannelPage"),
    Endpoint("GET", "channels/{name}", "channels_get", "Get a channel.", returns="ChannelView", errors=(404,)),
    Endpoint(
        "GET",
        "channels/{name}/deliveries",
        "channels_deliveries",
        "List the deliveries of a channel, newest notification first.",
        returns="DeliveryPage",
        query=PAGING,
        errors=(404,),
    ),
)
