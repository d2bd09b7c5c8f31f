"""The evaluations of the fake Foundry: every evaluator gives the grade it is told to, after a poll or two."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeEvals:
    """Evaluations that were made and not deleted.

    Attributes:
        grades: What each evaluator gives, by its name without `builtin.`; 4 where nothing is said.
        polls: How often a run is looked at before it is done.
        outcome: How runs end.
        usage: What each item says that it took.
        evals: What is there, by id.
    """

    grades: dict[str, float] = field(default_factory=dict[str, float])
    polls: int = 1
    outcome: str = "completed"
    usage: dict[str, Any] = field(
        default_factory=lambda: {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340, "cached_tokens": 0}
    )
    evals: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def routes(self, prefix: str) -> list[tuple[str, str, str, Handler]]:
        """Return method, path, operation and handler of each route."""
        run = f"{prefix}/evals/{{id}}/runs/{{run}}"
        return [
            ("POST", f"{prefix}/evals", "create_eval", self._create),
            ("DELETE", f"{prefix}/evals/{{id}}", "delete_eval", self._delete),
            ("POST", f"{prefix}/evals/{{id}}/runs", "create_eval_run", self._start),
            ("GET", run, "get_eval_run", self._look),
            ("GET", f"{run}/output_items", "list_eval_items", self._items),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        ident = f"eval_{uuid.uuid4().hex}"
        self.evals[ident] = {**body, "id": ident, "object": "eval", "created_at": 0, "looks": 0}
        return web.json_response(self.evals[ident])

    async def _delete(self, request: web.Request) -> web.Response:
        ident = request.match_info["id"]
        del self.evals[ident]
        return web.json_response({"object": "eval.deleted", "deleted": True, "eval_id": ident})

    async def _start(self, request: web.Request) -> web.Response:
        stored = self.evals[request.match_info["id"]]
        stored["data"] = (await request.json())["data_source"]["source"]["content"]
        return web.json_response(self._run(stored, "queued"))

    async def _look(self, request: web.Request) -> web.Response:
        stored = self.evals[request.match_info["id"]]
        stored["looks"] += 1
        return web.json_response(self._run(stored, self.outcome if stored["looks"] > self.polls else "in_progress"))

    async def _items(self, request: web.Request) -> web.Response:
        stored = self.evals[request.match_info["id"]]
        items = [
            {
                "id": f"item_{number}",
                "object": "eval.run.output_item",
                "status": "pass",
                "datasource_item_id": number,
                "datasource_item": entry["item"],
                "results": [self._result(criterion) for criterion in stored["testing_criteria"]],
                "sample": {
                    "error": None,
                    "usage": self.usage,
                    "input": [],
                    "output": [],
                },
            }
            for number, entry in enumerate(stored["data"])
        ]
        return web.json_response({"object": "list", "data": items, "has_more": False})

    def _result(self, criterion: dict[str, Any]) -> dict[str, Any]:
        name = criterion["name"]
        grade = self.grades.get(name.removeprefix("builtin."), 4)
        return {"name": name, "score": grade, "passed": grade >= 3, "sample": {"reason": "Because."}}

    @staticmethod
    def _run(stored: dict[str, Any], status: str) -> dict[str, Any]:
        counts = {"errored": 0, "failed": 0, "passed": 1, "total": 1}
        return {
            "id": "run_1",
            "object": "eval.run",
            "eval_id": stored["id"],
            "status": status,
            "created_at": 0,
            "result_counts": counts,
            "per_testing_criteria_results": [],
            "report_url": "",
            "error": None,
        }
