"""The workflows of a workspace: declared under names, with versions; a run keeps the version that it began with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kernel.errors import InvalidInput
from lifecycle.configuration.kinds import Kind, Ref
from lifecycle.configuration.store import ConfigurationItem, ConfigurationStore, unknown
from lifecycle.registry.catalog import Catalog
from lifecycle.specs.workflow import Plan, WorkflowSpec, plan_of

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
        """Declare the workflow and return it, and whether it is new. Saying the same again changes nothing.

        Raises:
            InvalidInput: It names agents that there are not (code `unknown_agent`).
            EtagMismatch: `if_match` is given and the workflow is another one.
            TooLarge: It is more than can be stored.
        """
        await self._check_agents(workspace, spec)
        before, item = await self._items.change(workspace, _ref(name), spec, if_match)
        return item, before.content is None

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Delete the workflow; its runs go on, and stay.

        Raises:
            NotFound: There is none.
            EtagMismatch: `if_match` is given and the workflow is another one.
        """
        await self._items.change(workspace, _ref(name), None, if_match)

    async def get(self, workspace: str, name: str) -> ConfigurationItem:
        """Return the workflow.

        Raises:
            NotFound: There is none.
        """
        return await self._items.get(workspace, _ref(name))

    async def list(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[ConfigurationItem], str | None]:
        """Return up to `limit` workflows by name, and the name to continue after; None when these were the last."""
        return await self._items.list(workspace, Kind.WORKFLOW, limit, after)

    async def versions(
        self, workspace: str, name: str, limit: int, before: int | None = None
    ) -> tuple[Sequence[ConfigurationItem], int | None]:
        """Return up to `limit` versions, newest first, and the version to continue before; None when these were all.

        Raises:
            NotFound: There never was such a workflow.
        """
        found, earlier = await self._items.versions(workspace, _ref(name), limit, before)
        if not found and before is None:
            raise unknown(_ref(name))
        return found, earlier

    async def current(self, workspace: str, name: str) -> tuple[int, Plan]:
        """Return the workflow's version and its steps.

        Raises:
            NotFound: There is no such workflow.
        """
        item = await self.get(workspace, name)
        return item.version, self._kept(item)

    async def plan(self, workspace: str, name: str, version: int) -> Plan:
        """Return the steps of a version, which is kept whatever becomes of the workflow."""
        known = self._plans.get((workspace, name, version))
        if known is not None:
            return known
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
            msg = f"The workflow names agents that there are not: {', '.join(missing)}."
            raise InvalidInput(msg, code="unknown_agent", fields=fields)


def _ref(name: str) -> Ref:
    return Ref(Kind.WORKFLOW, name)
