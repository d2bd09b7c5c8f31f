"""Schedules, by which agents are asked."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "PUT",
        "schedules/{name}",
        "schedules_put",
        "Have an agent asked on a schedule. Setting it to the same again changes nothing.",
        body="ScheduleBody",
        returns="ScheduleView",
        also=201,
        errors=(409, 412),
    ),
    Endpoint(
        "DELETE",
        "schedules/{name}",
        "schedules_delete",
        "Remove a schedule; runs that it has submitted go on.",
        status=204,
        errors=(404, 412),
    ),
    Endpoint(
        "GET",
        "schedules",
        "schedules_list",
        "List schedules by name; never more than 200.",
        returns="SchedulePage",
    ),
    Endpoint("GET", "schedules/{name}", "schedules_get", "Get a schedule.", returns="ScheduleView", errors=(404,)),
)
