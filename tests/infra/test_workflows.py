"""GitHub workflows, azd and the dev container: they parse, pin what they use, and name what is here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra import bicep
from tests.infra.bicep import INFRA, ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
DEVCONTAINER = ROOT / ".devcontainer"

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


@every_workflow
def test_actions_are_pinned(path: Path) -> None:
    """A tag can be moved: actions are named by commit, with the version beside it; Microsoft's own by version."""
    used = re.findall(r"uses: (.+)", path.read_text())

    assert used
    by_commit = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [action for action in used if not by_commit.fullmatch(action) and action != "Azure/setup-azd@v2"] == []


@every_workflow
def test_a_workflow_may_no_more_than_it_needs(path: Path) -> None:
    """The token of a workflow reads the repository; only the deployment may ask for a federated one."""
    permissions = load(path)["permissions"]

    assert permissions.pop("id-token", None) == ("write" if path.stem == "deploy" else None)
    assert permissions == {"contents": "read"}


@every_workflow
def test_a_workflow_ends(path: Path) -> None:
    """A job that hangs ends by itself."""
    assert all(job["timeout-minutes"] <= 60 for job in load(path)["jobs"].values())


@every_workflow
def test_runners_are_pinned(path: Path) -> None:
    """`ubuntu-latest` becomes another system one day."""
    assert {job["runs-on"] for job in load(path)["jobs"].values()} == {"ubuntu-24.04"}


@every_workflow
def test_no_input_is_pasted_into_a_script(path: Path) -> None:
    """`${{ … }}` in a script is code from whoever may set it; scripts read environment variables."""
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_every_push_is_checked_on_both_ends_of_the_range() -> None:
    """The oldest Python that is promised, and the one that is deployed."""
    workflow = load(ROOT / ".github/workflows/check.yml")
    matrix = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    commands = [step.get("run") for step in workflow["jobs"]["check"]["steps"]]

    assert {"push", "pull_request"} <= set(workflow[True])  # YAML reads `on` as true
    assert matrix == ["3.11", (ROOT / ".python-version").read_text().strip()]
    assert "make check" in commands


def test_templates_are_built_and_linted_by_the_real_compiler() -> None:
    """What cannot be had here is had there: `bicep build` checks types and every reference."""
    commands = [step.get("run", "") for step in load(ROOT / ".github/workflows/check.yml")["jobs"]["bicep"]["steps"]]

    assert any(command.startswith("az bicep build --file infra/main.bicep") for command in commands)
    assert "az bicep lint --file infra/main.bicep" in commands


def test_the_deployment_needs_no_secret() -> None:
    """GitHub proves itself with a federated credential; there is nothing to steal or to rotate."""
    text = (ROOT / ".github/workflows/deploy.yml").read_text()

    assert "secrets." not in text
    assert "--federated-credential-provider github" in text


def test_the_deployment_sets_parameters_that_exist() -> None:
    """Each variable that it hands on is one of azd's or of main.parameters.json."""
    env = set(load(ROOT / ".github/workflows/deploy.yml")["jobs"]["deploy"]["env"])
    parameters = set(re.findall(r"\$\{([A-Z_]+)", (INFRA / "main.parameters.json").read_text()))

    assert env - parameters == {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"}


def test_what_azd_deploys_is_what_the_template_tags() -> None:
    """The app is found by the name of its service, and the template by path and module."""
    project = load(ROOT / "azure.yaml")
    ((service, settings),) = project["services"].items()
    tags = bicep.read(INFRA / "app/functions.bicep").resource("app").body["tags"]

    assert f"'azd-service-name': '{service}'" in tags
    del settings["hooks"]  # tests/infra/test_package.py
    assert settings == {"project": ".", "language": "python", "host": "function"}
    assert (ROOT / project["infra"]["path"] / f"{project['infra']['module']}.bicep").is_file()


def test_the_dev_container_has_everything_that_func_start_needs() -> None:
    """Core Tools, Azurite and Microsoft's Service Bus emulator, so that nothing is left to install by hand."""
    container = json.loads((DEVCONTAINER / "devcontainer.json").read_text())
    services = load(DEVCONTAINER / container["dockerComposeFile"])["services"]
    script = DEVCONTAINER / Path(container["postCreateCommand"]).name

    assert container["service"] in services
    assert "azure-functions-core-tools@4" in script.read_text()
    assert os.access(script, os.X_OK)
    assert services["azurite"]["image"].startswith("mcr.microsoft.com/azure-storage/azurite:")
    assert services["servicebus"]["image"].startswith("mcr.microsoft.com/azure-messaging/servicebus-emulator:")


def test_the_dev_container_has_the_python_that_is_deployed() -> None:
    """Trying with another one proves less."""
    image = load(DEVCONTAINER / "compose.yaml")["services"]["app"]["image"]

    assert f"-{(ROOT / '.python-version').read_text().strip()}-" in image


def test_images_are_pinned() -> None:
    """An image without a version is another one tomorrow."""
    images = [service["image"] for service in load(DEVCONTAINER / "compose.yaml")["services"].values()]

    assert [image for image in images if re.search(r":\d", image) is None] == []


def test_the_emulator_has_our_queue(tmp_path: Path) -> None:
    """Its configuration is made from the topology of ours: the same queue, but for how long messages live."""
    for name in (".devcontainer/initialize.sh", "devhost/servicebus/topology.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["sh", tmp_path / ".devcontainer/initialize.sh"], check=True)
    (volume,) = load(DEVCONTAINER / "compose.yaml")["services"]["servicebus"]["volumes"]
    container = json.loads((DEVCONTAINER / "devcontainer.json").read_text())
    ours = json.loads((ROOT / "devhost/servicebus/topology.json").read_text())["UserConfig"]
    for namespace in ours["Namespaces"]:
        for queue in namespace["Queues"]:
            queue["Properties"]["DefaultMessageTimeToLive"] = "PT1H"

    made = json.loads((tmp_path / ".devcontainer/servicebus.json").read_text())["UserConfig"]

    assert made == {"Logging": {"Type": "File"}, **ours}
    assert container["initializeCommand"] == ".devcontainer/initialize.sh"
    assert volume == "./servicebus.json:/ServiceBus_Emulator/ConfigFiles/Config.json:ro"


def test_local_addresses_hold_in_the_dev_container() -> None:
    """The emulators share the network of the container, so 127.0.0.1 is the same place for all."""
    services = load(DEVCONTAINER / "compose.yaml")["services"]

    assert {service.get("network_mode") for name, service in services.items() if name != "app"} == {"service:app"}
    assert "ports" not in str(services)


def test_the_environment_is_found_without_activating_it() -> None:
    """`func start` takes the Python of the path: that of the project."""
    remote = json.loads((DEVCONTAINER / "devcontainer.json").read_text())["remoteEnv"]

    assert remote["PATH"].startswith(f"{remote['VIRTUAL_ENV']}/bin:")
