"""What is deployed is closed by default: no keys, no public blobs, no old TLS, private when asked."""

from __future__ import annotations

import re

import pytest

from tests.infra import bicep
from tests.infra.bicep import INFRA, Resource


def resource(file: str, name: str) -> Resource:
    return bicep.read(INFRA / "app" / file).resource(name)


def test_storage_takes_tokens_only() -> None:
    """A shared key opens everything in the account, for ever, to whoever found it."""
    properties = resource("storage.bicep", "account").body["properties"]

    assert properties["allowSharedKeyAccess"] is False
    assert properties["allowBlobPublicAccess"] is False
    assert properties["minimumTlsVersion"] == "TLS1_2"
    assert properties["supportsHttpsTrafficOnly"] is True


def test_deleted_blobs_can_be_had_back() -> None:
    """The deployed package and Durable's leases survive a slip of the hand for a week."""
    properties = resource("storage.bicep", "blobs").body["properties"]

    assert all(policy["enabled"] is True for policy in properties.values())


def test_service_bus_takes_tokens_only() -> None:
    """Local authentication is the root key of the namespace."""
    properties = resource("servicebus.bicep", "namespace").body["properties"]

    assert properties["disableLocalAuth"] is True
    assert properties["minimumTlsVersion"] == "1.2"


def test_the_model_takes_tokens_only() -> None:
    """A model's key is money."""
    assert resource("model.bicep", "account").body["properties"]["disableLocalAuth"] is True


def test_telemetry_takes_tokens_only() -> None:
    """An instrumentation key that is enough to write logs is enough to forge them."""
    assert resource("monitoring.bicep", "component").body["properties"]["DisableLocalAuth"] is True


def test_the_app_speaks_https_only() -> None:
    """Keys of the API travel in a header."""
    properties = resource("functions.bicep", "app").body["properties"]

    assert properties["httpsOnly"] is True
    assert properties["siteConfig"]["minTlsVersion"] == "1.2"


@pytest.mark.parametrize("door", ["ftp", "scm"])
def test_publishing_needs_a_token(door: str) -> None:
    """Basic publishing credentials are a password that nobody remembers exists."""
    assert resource("functions.bicep", door).body["properties"] == {"allow": False}


@pytest.mark.parametrize(
    ("file", "name"), [("storage.bicep", "account"), ("servicebus.bicep", "namespace"), ("model.bicep", "account")]
)
def test_private_networking_closes_the_public_door(file: str, name: str) -> None:
    """A private endpoint beside an open public one protects nothing."""
    main = bicep.read(INFRA / "main.bicep")
    access = [
        module.body["params"].get("publicAccess") for module in main.modules.values() if module.type == f"app/{file}"
    ]

    assert resource(file, name).body["properties"]["publicNetworkAccess"] == "publicAccess ? 'Enabled' : 'Disabled'"
    assert access == ["!privateNetworking"]


def test_private_networking_takes_the_tier_that_has_it() -> None:
    """Service Bus has private endpoints in Premium only."""
    service_bus = bicep.read(INFRA / "main.bicep").modules["serviceBus"]

    assert service_bus.body["params"]["sku"] == "privateNetworking ? 'Premium' : serviceBusSku"


def test_everything_that_holds_data_has_a_private_endpoint() -> None:
    """The host needs blob, queue and table; producers and the app the namespace; runs the model."""
    text = (INFRA / "app/network.bicep").read_text()

    assert set(re.findall(r"name: '(blob|queue|table|namespace|account)'", text)) == {
        "blob",
        "queue",
        "table",
        "namespace",
        "account",
    }


def test_the_subnet_of_the_app_is_delegated_to_flex() -> None:
    """Flex Consumption joins a network through a subnet that is its alone, one address per instance."""
    subnets = resource("network.bicep", "network").body["properties"]["subnets"]
    app = next(subnet for subnet in subnets if subnet["name"] == "app")["properties"]

    assert app["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    assert int(app["addressPrefix"].partition("/")[2]) <= 26


def test_the_app_runs_the_python_that_is_developed_on() -> None:
    """`.python-version` says which Python is deployed."""
    runtime = resource("functions.bicep", "app").body["properties"]["functionAppConfig"]["runtime"]

    assert runtime == {"name": "python", "version": (bicep.ROOT / ".python-version").read_text().strip()}


def test_scale_is_set_for_waiting_and_not_for_computing() -> None:
    """Handlers wait for storage and models: one instance takes many, where Python's default would take one."""
    template = bicep.read(INFRA / "app/functions.bicep")
    scale = template.resource("app").body["properties"]["functionAppConfig"]["scaleAndConcurrency"]

    assert template.variables["httpConcurrency"] >= 16
    assert scale["triggers"] == {"http": {"perInstanceConcurrency": "httpConcurrency"}}
    assert [group["name"] for group in template.variables["alwaysReady"]] == [
        "http",
        "function:run_agent",
        "function:run_agent_priority",
    ]


def test_the_plan_is_flex_consumption_on_linux() -> None:
    """Python 3.13 has no other consumption plan; FC1 is its only size."""
    plan = resource("functions.bicep", "plan")

    assert plan.body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert plan.body["properties"] == {"reserved": True}


def test_sign_in_and_the_setting_that_trusts_it_come_together() -> None:
    """With AUTH_MODE entra the app believes a header that only App Service authentication can be trusted to set."""
    template = bicep.read(INFRA / "app/functions.bicep")
    auth = template.resource("auth")
    validation = auth.body["properties"]["globalValidation"]

    assert auth.condition == "(authMode == 'entra')"
    assert template.choices["appSettings"]["AUTH_MODE"] == "authMode"
    assert auth.body["properties"]["platform"] == {"enabled": True}
    assert validation["requireAuthentication"] is True
    assert validation["unauthenticatedClientAction"] == "Return401"


def test_mcp_clients_find_where_to_sign_in() -> None:
    """With sign-in the platform serves protected resource metadata (RFC 9728), for the scope that tokens are for."""
    template = bicep.read(INFRA / "app/functions.bicep")
    audiences = template.resource("auth").body["properties"]["identityProviders"]["azureActiveDirectory"]["validation"]

    assert template.variables["signInSettings"].startswith("authMode == 'entra' ?")
    assert template.choices["signInSettings"] == {
        "WEBSITE_AUTH_PRM_DEFAULT_WITH_SCOPES": "'api://${entraClientId}/user_impersonation'"
    }
    assert "'api://${entraClientId}'" in str(audiences)


def test_a_deployed_model_does_not_change_by_itself() -> None:
    """Another version answers and costs otherwise: it is a change that somebody makes."""
    assert resource("model.bicep", "deployment").body["properties"]["versionUpgradeOption"] == "NoAutoUpgrade"
