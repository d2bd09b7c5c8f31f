"""The templates by themselves: they parse, and what refers to something refers to something that is there.

`bicep build` and `bicep lint` run in the GitHub workflow, where the CLI can be had; this is what can be seen without.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.infra import bicep
from tests.infra.bicep import INFRA

MAIN = INFRA / "main.bicep"
FUNCTIONS = {
    "concat", "contains", "empty", "environment", "filter", "flatten", "guid", "loadJsonContent", "loadTextContent",
    "map", "replace", "resourceGroup", "resourceId", "string", "subscription", "subscriptionResourceId", "tenant",
    "toLower", "union", "uniqueString",
}  # fmt: skip
DECORATORS = {"allowed", "description", "maxLength", "maxValue", "metadata", "minLength", "minValue"}
_ROLES = ("roles", "scaling")
"""Modules of roles alone, which have no tags."""
NAMESPACES = {"array", "bool", "int", "object", "string"}

every_template = pytest.mark.parametrize("path", bicep.templates(), ids=lambda path: path.name)


@every_template
def test_it_parses(path: Path) -> None:
    """A template that does not parse deploys nothing."""
    assert bicep.read(path).errors == []


@pytest.mark.parametrize(
    "source", ["param a string = ", "resource x 'a@b' = {", "var a = [1, 2", "output a string 'x'", "modul a 'b' = {}"]
)
def test_the_parser_finds_what_is_wrong(source: str) -> None:
    """A parser that accepts everything would prove nothing."""
    assert bicep.parse(source.encode()).errors


@every_template
def test_everything_declared_is_used(path: Path) -> None:
    """A parameter that nothing reads looks like a switch and is none."""
    template = bicep.read(path)

    assert {*template.parameters, *template.variables} - template.identifiers == set()


@every_template
def test_everything_used_is_declared(path: Path) -> None:
    """A misspelt name stops a deployment half-way."""
    template = bicep.read(path)

    assert template.identifiers - template.declared - NAMESPACES == set()
    assert template.calls - FUNCTIONS - DECORATORS == set()


@every_template
def test_files_that_are_loaded_exist(path: Path) -> None:
    """Queries, tables of roles and the workbook are read when the template is compiled."""
    loaded = re.findall(r"load(?:Text|Json)Content\('([^']+)'\)", path.read_text())

    assert [name for name in loaded if not (path.parent / name).is_file()] == []


@every_template
def test_every_resource_has_a_released_api_version(path: Path) -> None:
    """Previews are changed and withdrawn."""
    versions = [resource.version for resource in bicep.read(path).resources]

    assert [version for version in versions if not re.fullmatch(r"\d{4}-\d\d-\d\d", version)] == []


@every_template
def test_a_region_is_never_written_down(path: Path) -> None:
    """Everything stands where the environment was asked for; only what has no region is global."""
    places = {str(resource.body["location"]) for resource in bicep.read(path).resources if "location" in resource.body}

    assert places <= {"location", "global"}


@pytest.mark.parametrize("name", sorted(bicep.read(MAIN).modules))
def test_a_module_is_given_what_it_takes(name: str) -> None:
    """Every parameter without a default is given, and none that the module does not have."""
    module = bicep.read(MAIN).modules[name]
    parameters = bicep.read(INFRA / module.type).parameters
    given = set(module.body["params"])

    assert given <= set(parameters)
    assert {parameter.name for parameter in parameters.values() if parameter.default is None} <= given


def test_outputs_that_are_read_exist() -> None:
    """`module.outputs.name` names an output of that module."""
    modules = bicep.read(MAIN).modules
    read = set(re.findall(r"(\w+)!?\.outputs\.(\w+)", MAIN.read_text()))

    assert read
    assert {
        (name, output) for name, output in read if output not in bicep.read(INFRA / modules[name].type).outputs
    } == set()


def test_every_module_is_part_of_the_deployment() -> None:
    """A template that main.bicep does not reach is never deployed."""
    reached = {(INFRA / module.type) for module in bicep.read(MAIN).modules.values()}

    assert reached == set(bicep.templates()) - {MAIN}


def test_a_conditional_module_is_read_under_its_condition_only() -> None:
    """The outputs of what is not deployed do not exist."""
    main = bicep.read(MAIN)
    conditions = {module.name: module.condition.strip("()") for module in main.modules.values() if module.condition}
    read = re.findall(r"(\w+) \? (\w+)!\.outputs\.", MAIN.read_text())
    written = re.findall(r"(\w+)!\.outputs\.", MAIN.read_text())

    assert conditions == {
        "model": "createModel",
        "durable": "usesScheduler",
        "network": "privateNetworking",
        "scaling": "scalingApply",
    }
    assert len(written) == len(read)
    assert {(condition, name) for condition, name in read if conditions[name] != condition} == set()


def test_every_parameter_is_described() -> None:
    """The portal and azd show the description to whoever is asked for a value."""
    assert [name for name, parameter in bicep.read(MAIN).parameters.items() if not parameter.described] == []


def test_every_parameter_can_be_set_from_the_environment() -> None:
    """`azd env set NAME value` reaches each parameter, and leaving it out is the template's own default."""
    parameters = bicep.read(MAIN).parameters
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]

    assert set(given) == set(parameters)
    for name, entry in given.items():
        default = parameters[name].default
        found = re.fullmatch(r"\$\{([A-Z_]+)(?:=(.*))?\}", str(entry["value"]))
        if found is None:
            assert entry["value"] == default, name
        elif default is None:
            assert found[2] is None, name
        else:
            assert found[2] == (str(default).lower() if isinstance(default, bool) else str(default)), name


def test_abbreviations_are_those_that_are_used() -> None:
    """Names say what they name; the table of prefixes holds no leftovers of a template."""
    used = set(re.findall(r"abbreviations\.(?!json)(\w+)", MAIN.read_text()))

    assert used == set(json.loads((INFRA / "abbreviations.json").read_text()))


def test_names_repeat_and_differ_between_environments() -> None:
    """Deploying again finds the same resources; another environment makes others."""
    assert bicep.read(MAIN).variables["token"] == "toLower(uniqueString(subscription().id, environmentName, location))"


def test_everything_with_tags_carries_the_environment() -> None:
    """Resources are found and removed by the tag `azd-env-name`, the app by `azd-service-name`."""
    main = bicep.read(MAIN)
    untagged = {
        f"{path.name}:{resource.name}"
        for path in bicep.templates()
        for resource in bicep.read(path).resources
        if "location" in resource.body and "tags" not in resource.body
    }

    assert untagged == set()
    assert main.variables["tags"] == {"azd-env-name": "environmentName"}
    assert "'azd-service-name': 'api'" in bicep.read(INFRA / "app/functions.bicep").resource("app").body["tags"]
    assert all("tags" in module.body["params"] for module in main.modules.values() if module.name not in _ROLES)


def test_outputs_hold_no_secret() -> None:
    """Outputs are stored with the deployment and read by anyone who may read it."""
    secretive = re.compile(
        r"listKeys|listSecrets|listConnectionStrings|ConnectionString|InstrumentationKey|\.key\b", re.IGNORECASE
    )
    found = {
        f"{path.name}:{name}"
        for path in bicep.templates()
        for name, value in bicep.read(path).outputs.items()
        if secretive.search(f"{name} {value}")
    }

    assert found == set()


def test_no_key_is_ever_asked_for() -> None:
    """Nothing in the templates lists a key: whatever is reached is reached with the identity."""
    assert [path.name for path in bicep.templates() if re.search(r"\blist\w*\(", path.read_text())] == []


def test_no_parameter_is_a_secret() -> None:
    """There is no password to hand over, so none can end up in a parameter file."""
    names = [name for path in bicep.templates() for name in bicep.read(path).parameters]

    assert [name for name in names if re.search(r"password|secret|key$|token", name, re.IGNORECASE)] == []


def test_the_linter_of_the_workflow_is_strict() -> None:
    """What bicepconfig.json names is an error in `bicep lint`, not a remark."""
    rules = json.loads((INFRA / "bicepconfig.json").read_text())["analyzers"]["core"]["rules"]

    assert rules
    assert {rule["level"] for rule in rules.values()} == {"error"}
