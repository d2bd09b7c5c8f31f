"""The table of roles: the least that works, each with its reason."""

from __future__ import annotations

import json
import re

import pytest

from tests.infra import bicep
from tests.infra.bicep import INFRA

ROLES = json.loads((INFRA / "app/roles.json").read_text())
BUILT_IN = {
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "0ad04412-c4d5-4796-b79c-f76d14c8d402": "Durable Task Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
    "53ca6127-db72-4b80-b1b0-d745d6d5456d": "Azure AI User",
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
}
"""learn.microsoft.com/azure/role-based-access-control/built-in-roles"""

TEMPLATE = bicep.read(INFRA / "app/roles.bicep")
ASSIGNMENTS = [resource for resource in TEMPLATE.resources if not resource.existing]
TARGETS = sorted({role["on"] for role in ROLES})


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role["name"])
def test_the_id_is_that_of_the_name(role: dict[str, str]) -> None:
    """One wrong digit grants another role, or none."""
    assert BUILT_IN[role["id"]] == role["name"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role["name"])
def test_every_role_says_why(role: dict[str, str]) -> None:
    """The reason is stored with the assignment, where whoever reviews access reads it."""
    assert set(role) == {"on", "name", "id", "why"}
    assert role["why"].endswith(".")
    assert len(role["why"]) > 20


def test_no_role_is_granted_twice() -> None:
    """Each pair of role and resource stands in the table once."""
    assert len({(role["on"], role["id"]) for role in ROLES}) == len(ROLES)


def test_service_bus_is_sent_to_and_received_from_and_not_owned() -> None:
    """Data Owner could change and delete the queue; Sender and Receiver do all that the app does."""
    granted = {(role["on"], role["name"]) for role in ROLES if "Service Bus" in role["name"]}
    names = ("Azure Service Bus Data Sender", "Azure Service Bus Data Receiver")

    assert granted == {(queue, name) for queue in ("queue", "priorityQueue", "lowQueue") for name in names}


def test_only_the_host_s_own_blobs_are_owned() -> None:
    """The Functions host asks for Storage Blob Data Owner; nothing else is an Owner, Contributor at large or admin."""
    broad = {"Owner", "Contributor", "User Access Administrator"}
    names = {role["name"] for role in ROLES}

    assert names & broad == set()
    assert {name for name in names if "Owner" in name} == {"Storage Blob Data Owner"}


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_is_assigned_its_roles_by_one_loop(target: str) -> None:
    """The table is the only place to add a role; the loops hold nothing of their own."""
    loops = [found for found in ASSIGNMENTS if found.loop == f"filter(roles, item => item.on == '{target}')"]

    assert len(loops) == 1
    assert str(loops[0].body["scope"]) == target
    assert "role.id" in loops[0].body["properties"]["roleDefinitionId"]


def test_nothing_is_assigned_besides_the_table() -> None:
    """No other template grants anything, but for what may scale the app where that is wanted."""
    others = {
        path.name
        for path in bicep.templates()
        for resource in bicep.read(path).resources
        if resource.type == "Microsoft.Authorization/roleAssignments" and path.name != "roles.bicep"
    }

    assert others == {"scaling.bicep"}
    assert len(ASSIGNMENTS) == len(TARGETS)


def test_roles_are_granted_on_resources_and_not_on_the_group() -> None:
    """What else is put into the resource group later is none of the app's business."""
    scopes = [str(resource.body["scope"]) for resource in ASSIGNMENTS]

    assert [scope for scope in scopes if re.search(r"resourceGroup|subscription", scope)] == []


def test_roles_on_what_may_be_absent_are_conditional() -> None:
    """Without a model or a scheduler there is nothing to have a role on."""
    conditions = {str(resource.body["scope"]): resource.condition for resource in ASSIGNMENTS if resource.condition}

    assert conditions == {"model": "(!empty(modelName))", "scheduler": "(!empty(schedulerName))"}


def test_scaling_the_app_is_off_and_takes_no_more_than_its_site() -> None:
    """An identity that may write its own app may change its code: it is given that only where it is wanted."""
    main, scaling = bicep.read(INFRA / "main.bicep"), bicep.read(INFRA / "app/scaling.bicep")
    role, assigned = scaling.resource("role").body["properties"], scaling.resource("onApp").body

    assert main.parameters["scalingApply"].default is False
    assert role["permissions"][0]["actions"] == [
        "Microsoft.Web/sites/read",
        "Microsoft.Web/sites/write",
        "Microsoft.Web/sites/operationresults/read",
    ]
    assert assigned["scope"] == "app"
