"""Schedules, which submit runs at set times."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "PUT",
        "schedules/{name}",
        "schedules_put",
        "Set a schedule on which an agent is run. Setting the same again changes nothing.",
        body="ScheduleBody",
        returns="ScheduleView",
        also=201,
        errors=(409, 412),
    ),
    Endpoint(
        "DELETE",
        "schedules/{name}",
        "schedules_delete",
        "Delete a schedule; runs that it has submitted go on.",
        status=204,
        errors=(404, 412),
    ),
    Endpoint(
        "GET",
        "schedules",
        "schedules_list",
        "List schedules by name; at most 200.",
        returns="SchedulePage",
    ),
    Endpoint("GET", "schedules/{name}", "schedules_get", "Get a schedule.", returns="ScheduleView", errors=(404,)),
)
