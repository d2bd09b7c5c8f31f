"""Declared workflows, with versions; a workflow run keeps the version that it began with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernel.errors import InvalidInput
from lifecycle.configuration.kinds import Kind, Ref
from lifecycle.configuration.store import ConfigurationItem, ConfigurationStore, unknown
from lifecycle.specs.workflow import Plan, WorkflowSpec, plan_of

if TYPE_CHECKING:
    from lifecycle.registry.catalog import Catalog

_MOST_KNOWN = 256


class Workflows:
    """Declares and reads workflows."""

    def __init__(self, items: ConfigurationStore, catalog: Catalog) -> None:
        self._items = items
        self._catalog = catalog
        self._plans: dict[tuple[str, str, int], Plan] = {}

    async def put(
        self, workspace: str, name: str, spec: WorkflowSpec, if_match: str | None = None
    ) -> tuple[ConfigurationItem, bool]:
        """Declare the workflow, and return it and whether it is new. Declaring the same again changes nothing.

        Raises:
            InvalidInput: It names agents or teams that do not exist, or a condition names what none has (codes
                `unknown_agent`, `unknown_team`, `unknown_variable`).
            EtagMismatch: `if_match` is given and the workflow was changed since.
            TooLarge: It does not fit a row.
        """
        if wrong := spec.unknown_names:  # not in the spec itself, by which workflows are read that were stored before
            msg = "Conditions of the workflow name what there is not; see errors."
            raise InvalidInput(msg, code="unknown_variable", fields=wrong)
        await self._check_agents(workspace, spec)
        await self._check_teams(workspace, spec)
        before, item = await self._items.change(workspace, _ref(name), spec, if_match)
        return item, before.content is None

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Delete the workflow; its runs continue, and stay stored.

        Raises:
            NotFound: It does not exist.
            EtagMismatch: `if_match` is given and the workflow was changed since.
        """
        await self._items.change(workspace, _ref(name), None, if_match)

    async def get(self, workspace: str, name: str) -> ConfigurationItem:
        """Return the workflow.

        Raises:
            NotFound: It does not exist.
        """
        return await self._items.get(workspace, _ref(name))

    async def list(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[ConfigurationItem], str | None]:
        """Return up to `limit` workflows by name, and the name to continue after; None at the end."""
        return await self._items.list(workspace, Kind.WORKFLOW, limit, after)

    async def versions(
        self, workspace: str, name: str, limit: int, before: int | None = None
    ) -> tuple[Sequence[ConfigurationItem], int | None]:
        """Return up to `limit` versions, newest first, and the version to continue before; None at the end.

        Raises:
            NotFound: It never existed.
        """
        found, earlier = await self._items.versions(workspace, _ref(name), limit, before)
        if not found and before is None:
            raise unknown(_ref(name))
        return found, earlier

    async def current(self, workspace: str, name: str) -> tuple[int, Plan]:
        """Return the workflow's version and its steps.

        Raises:
            NotFound: It does not exist.
        """
        item = await self.get(workspace, name)
        return item.version, self._kept(item)

    async def plan(self, workspace: str, name: str, version: int) -> Plan:
        """Return the steps of a version, which is kept even if the workflow is changed or deleted."""
        cached = self._plans.get((workspace, name, version))
        if cached is not None:
            return cached
        found, _ = await self._items.versions(workspace, _ref(name), 1, version + 1)
        if not found or found[0].version != version:
            raise unknown(_ref(name))
        return self._kept(found[0])

    def _kept(self, item: ConfigurationItem) -> Plan:
        if not isinstance(item.content, WorkflowSpec):
            raise unknown(item.ref)
        plan = self._plans[item.workspace, item.ref.name, item.version] = plan_of(item.content)
        while len(self._plans) > _MOST_KNOWN:
            self._plans.pop(next(iter(self._plans)))
        return plan

    async def _check_agents(self, workspace: str, spec: WorkflowSpec) -> None:
        names = list(spec.agents)
        found = await asyncio.gather(*(self._catalog.find(workspace, name) for name in names))
        missing = [name for name, agent in zip(names, found, strict=True) if agent is None or agent.declaration.deleted]
        if missing:
            fields = {spec.agents[name]: f"There is no agent {name!r}." for name in missing}
            msg = f"The workflow names agents that do not exist: {', '.join(missing)}."
            raise InvalidInput(msg, code="unknown_agent", fields=fields)

    async def _check_teams(self, workspace: str, spec: WorkflowSpec) -> None:
        names = list(spec.teams)
        found = await asyncio.gather(*(self._items.find(workspace, Ref(Kind.TEAM, name)) for name in names))
        missing = [name for name, item in zip(names, found, strict=True) if item.content is None]
        if missing:
            fields = {spec.teams[name]: f"There is no team {name!r}." for name in missing}
            msg = f"The workflow names teams that do not exist: {', '.join(missing)}."
            raise InvalidInput(msg, code="unknown_team", fields=fields)


def _ref(name: str) -> Ref:
    return Ref(Kind.WORKFLOW, name)
