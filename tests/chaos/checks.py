"""What must hold after a storm, looked at from outside: over the API alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.load import TERMINAL, Accepted, Clients
from tests.chaos.plan import AGENTS, CAP, Talk
from tests.e2e.support import Api
from tests.waiting import eventually

SUMMED = ("calls", "input_tokens", "output_tokens", "cost_micro_usd", "unsettled_calls")
_OF_FAULTS = ("worker_lost", "storage_unavailable", "provider_unavailable")
"""Error codes of runs that failed for a fault."""


class BrokenError(AssertionError):
    """An invariant that does not hold, and the runs and sessions that show it."""

    def __init__(self, what: str, *, runs: Sequence[str] = (), sessions: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.runs = runs
        self.sessions = sessions


class Checks:
    """Brings everything to its end, and compares."""

    def __init__(self, api: Api, clients: Clients, accepted: Accepted) -> None:
        self._api = api
        self._clients = clients
        self._accepted = accepted
        self._runs: dict[str, Any] = {}

    async def all(self) -> None:
        """Check everything.

        Raises:
            BrokenError: Something does not hold.
        """
        note = self._accepted.timeline.note
        await self._settled(*TERMINAL, "waiting")
        note("every run has ended or waits for its budget")
        await self._budget_reached()
        await self._settled(*TERMINAL)
        note("every run has ended")
        failed = await self._failures_listed()
        note(f"{len(failed)} failed runs are listed")
        await self._redriven(failed)
        note("redriven, they are answered")
        await self._answered_once_and_in_order(failed)
        await self._nothing_stuck()
        await self._money()
        note("transcripts, sessions and costs agree")
        await self._pins()
        await self._prune()

    def _kept(self) -> dict[Talk, list[str]]:
        return {talk: runs for talk, runs in self._accepted.runs.items() if not talk.erases}

    async def _settled(self, *states: str) -> None:
        """Wait until every run is in one of the states: each 202 ends."""
        wanted = [run_id for runs in self._kept().values() for run_id in runs]

        async def look() -> bool:
            left = [run_id for run_id in wanted if self._runs.get(run_id, {}).get("state") not in states]
            for run_id in left:
                reply = await self._api.call("GET", f"runs/{run_id}")
                # A message that waits behind others of its session has no run yet.
                self._runs[run_id] = reply.json() if reply.status == 200 else {"state": f"HTTP {reply.status}"}
            if left:
                await asyncio.sleep(1)
            return not left

        def progress() -> object:
            return [(run.get("state"), run.get("stage"), run.get("attempt")) for run in self._runs.values()]

        try:
            await eventually(look, progress=progress, what="the end of every accepted run")
        except AssertionError:
            left = [run_id for run_id in wanted if self._runs[run_id].get("state") not in states]
            states_left = {run_id: self._runs[run_id].get("state") for run_id in left}
            raise BrokenError(f"accepted runs do not end: {states_left}", runs=left) from None

    async def _budget_reached(self) -> None:
        """The budget was reached and never passed; raised, all that waited goes on."""
        waiting = [run_id for run_id, run in self._runs.items() if run["state"] == "waiting"]
        codes = {self._runs[run_id]["error"]["code"] for run_id in waiting if self._runs[run_id]["error"]}
        if not waiting or not codes <= {"budget_exceeded"}:
            raise BrokenError(f"the budget was not what {len(waiting)} runs wait for: {codes}", runs=waiting)
        await self.budget_holds()
        await raise_budget(self._clients, 10_000_000)
        for run_id in waiting:
            self._runs.pop(run_id)

    async def budget_holds(self) -> None:
        """No more than the limit is used and reserved."""
        for usage in (await self._clients.call("GET", "usage?agent=capped")).json()["items"]:
            if usage["used"] + usage["reserved"] > usage["limit"]:
                raise BrokenError(f"a budget is overspent: {usage}")

    async def _failures_listed(self) -> list[str]:
        """Every failed run is among the dead letters and can be redriven."""
        failed = [run_id for run_id, run in self._runs.items() if run["state"] == "failed"]
        unexplained = {
            run_id: self._runs[run_id]["error"]
            for run_id in failed
            if self._runs[run_id]["agent"] != "doomed"
            and self._runs[run_id]["error"]["code"]
            not in ("worker_lost", "storage_unavailable", "provider_unavailable")
        }
        if unexplained:
            raise BrokenError(f"runs failed for no fault: {unexplained}", runs=list(unexplained))
        missing: list[str] = failed

        async def look() -> bool:
            nonlocal missing
            letters = await self._api.everything("dead-letters", 200)
            good = {letter["run_id"] for letter in letters if letter["redrivable"]}
            missing = [run_id for run_id in failed if run_id not in good]
            return not missing

        try:
            await eventually(look, progress=lambda: len(missing), what="failed runs among the dead letters")
        except AssertionError:
            raise BrokenError(f"failed runs are not listed as redrivable: {missing}", runs=missing) from None
        return failed

    async def _redriven(self, failed: Sequence[str]) -> None:
        """Mended and redriven, every failed run is answered."""
        await self._clients.call("PUT", "agents/doomed", {"model": "gpt-4o"}, good=(200,))
        for letter in await self._api.everything("dead-letters", 200):
            if letter["run_id"] in failed and letter["redrivable"]:
                await self._clients.call("POST", f"dead-letters/{letter['id']}/redrive", good=(202, 404))
        for run_id in failed:
            self._runs.pop(run_id)
        for run_id in failed:

            async def look(run_id: str = run_id) -> Any:
                self._runs[run_id] = await self._api.get(f"runs/{run_id}")
                return self._runs[run_id]["state"] == "succeeded"

            try:
                await eventually(look, what=run_id)
            except AssertionError:
                raise BrokenError(f"redriven and not answered: {self._runs[run_id]}", runs=[run_id]) from None

    async def _answered_once_and_in_order(self, redriven: Sequence[str]) -> None:
        """Each session's transcript has each of its answered runs once, in the order of acceptance."""
        for talk, runs in self._kept().items():
            for session_id in {self._runs[run_id]["session_id"] for run_id in runs}:
                mine = [run_id for run_id in runs if self._runs[run_id]["session_id"] == session_id]
                answered = [run_id for run_id in mine if self._runs[run_id]["state"] == "succeeded"]
                turns = await self._api.everything(f"sessions/{session_id}/messages", 200)
                found = [(turn["role"], turn["run_id"]) for turn in turns]
                if Counter(found) != Counter((role, run_id) for run_id in answered for role in ("user", "assistant")):
                    raise BrokenError(f"{talk.name}: not each run once: {found}", sessions=[session_id], runs=mine)
                order = [run_id for role, run_id in found if role == "user" and run_id not in redriven]
                if order != [run_id for run_id in answered if run_id not in redriven]:
                    raise BrokenError(f"{talk.name}: out of order: {order}", sessions=[session_id], runs=mine)
                for run_id in answered:
                    if not self._runs[run_id]["answer"]:
                        raise BrokenError(f"{talk.name}: succeeded without an answer", runs=[run_id])

    async def _nothing_stuck(self) -> None:
        """Every session is listed, has nothing pending and goes on; what is erased stays so."""
        wanted = {run["session_id"]: run["agent"] for run in self._runs.values()}
        for agent in AGENTS:
            listed = [session["id"] for session in await self._api.everything(f"sessions?agent={agent}", 50)]
            expected = [session_id for session_id, whose in wanted.items() if whose == agent]
            if Counter(listed) != Counter(expected):
                differing = sorted(set(listed) ^ set(expected))
                raise BrokenError(f"sessions of {agent}: listed or used, not both: {differing}", sessions=differing)
        for session_id, agent in wanted.items():
            session = await self._api.get(f"sessions/{session_id}")
            mine = [run for run in self._runs.values() if run["session_id"] == session_id]
            state = ("ended",) if agent == "idle" else ("active", "started")
            spent = {key: sum(run["spend"][key] for run in mine) for key in SUMMED}
            good = session["state"] in state and session["pending"] == 0 and session["runs"] == len(mine)
            if not good or spent != _part(session["spend"]):
                raise BrokenError(f"session {session}; its {len(mine)} runs spent {spent}", sessions=[session_id])
        for talk in self._accepted.runs:
            if talk.erases:
                paths = [f"sessions/{talk.name}", *(f"runs/{run_id}" for run_id in self._accepted.runs[talk])]
                if {(await self._api.call("GET", path)).status for path in paths} != {404}:
                    raise BrokenError(f"{talk.name} is not erased", sessions=[talk.name])

    async def _money(self) -> None:
        """What the runs say they spent is what costs, report and budget have."""
        spends = [*self._accepted.erased, *(run["spend"] for run in self._runs.values())]
        spent = {key: sum(spend[key] for spend in spends) for key in SUMMED}

        async def same() -> Any:
            looks.append(_part((await self._api.get("costs"))["total"]))
            return looks[-1] == spent

        looks: list[Mapping[str, int]] = []
        try:
            await eventually(same, progress=lambda: looks[-1], what="costs")
        except AssertionError:
            facts = await self._api.get("costs?group_by=session")
            own: dict[str, Counter[str]] = {}
            for run in self._runs.values():
                own.setdefault(run["session_id"], Counter()).update({key: run["spend"][key] for key in SUMMED})
            noted = {group["name"]: _part(group["spend"]) for group in facts["groups"]}
            wrong = [
                name for name, sums in own.items() if dict(sums) != {k: noted.get(name, {}).get(k, 0) for k in SUMMED}
            ]
            said = f"runs spent {spent}, costs have {looks[-1]}, facts {_part(facts['total'])}; facts differ in {wrong}"
            raise BrokenError(said, sessions=wrong) from None
        capped = [run["spend"] for run in self._runs.values() if run["agent"] == "capped"]
        tokens = sum(spend["input_tokens"] + spend["output_tokens"] for spend in capped)

        async def counted() -> bool:
            usage = (await self._api.get("usage?agent=capped"))["items"][0]
            looks.append(usage)
            return (usage["used"], usage["reserved"]) == (tokens, 0)

        try:
            await eventually(counted, progress=lambda: looks[-1], what="usage")
        except AssertionError:
            raise BrokenError(f"the agent's runs spent {tokens} tokens, its budget has {looks[-1]}") from None

    async def _pins(self) -> None:
        """Pinned sessions stay with the version of their start, though the agent was declared again."""
        for talk, runs in self._kept().items():
            if talk.pins:
                session = await self._api.get(f"sessions/{talk.name}")
                versions = {self._runs[run_id]["version"] for run_id in runs}
                if session["pin"]["revision"] != 1 or len(versions) != 1:
                    raise BrokenError(f"{talk.name}: {session['pin']}, {versions}", sessions=[talk.name], runs=runs)

    async def _prune(self) -> None:
        """An agent that nothing needs is retired and comes back; one with open sessions is not retired."""
        for name in AGENTS:
            if name in ("idle", "erased"):
                continue
            if (await self._api.get(f"agents/{name}"))["state"] != "active":
                raise BrokenError(f"agent {name}, with open sessions, is not active")
        await self._api.agent_in("idle", "idle")
        run = await self._api.answer("idle")
        self._accepted.timeline.note(f"idle is back: {run['id']}")


async def raise_budget(clients: Clients, limit: int = CAP) -> None:
    """Declare the budget of the agent `capped`, in all its tokens."""
    body = {"limits": [{"unit": "tokens", "period": "total", "limit": limit}]}
    await clients.call("PUT", "budgets/agent:capped", body, good=(200, 201))


def _part(spend: Mapping[str, int]) -> dict[str, int]:
    return {key: spend[key] for key in SUMMED}
