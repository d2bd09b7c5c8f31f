"""What a fake Foundry project holds, and what it refuses: agents with immutable versions, conversations, responses."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.foundry_model import Item, answered_requests, input_items, respond, unanswered_call

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
OWNED_BY_AGENT = ("tools", "tool_choice", "parallel_tool_calls", "text", "instructions", "temperature", "top_p")


class Refused(Exception):
    """A request the project answers with an error."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, "param": param, "type": "invalid_request_error"}


@dataclass
class Agent:
    """An agent: its id, whether it is enabled, and its versions by number, oldest first."""

    name: str
    id: str
    enabled: bool = True
    made: int = 0
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the agent as the API shows it."""
        latest = next((each for each in reversed(self.versions.values()) if not each["draft"]), None)
        state = "enabled" if self.enabled else "disabled"
        shown = {"object": "agent", "id": self.id, "name": self.name, "state": state, "configuration_state": state}
        return {**shown, "versions": {"latest": latest or next(iter(self.versions.values()), None)}}


@dataclass
class Project:
    """A project's content.

    Attributes:
        now: Tells the Unix time.
        keeps_empty_agents: Whether an agent stays when its last version is deleted; the service may do either.
        served_model: The model that answers say they are from; None for the definition's.
        agents: By name.
        conversations: Items by conversation id.
        responses: What had been said when each response was given, with it, by response id.
    """

    now: Callable[[], float]
    keeps_empty_agents: bool = False
    served_model: str | None = None
    agents: dict[str, Agent] = field(default_factory=dict)
    conversations: dict[str, list[Item]] = field(default_factory=dict)
    responses: dict[str, list[Item]] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    _number: int = 0

    def create_version(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a version, also from the same definition as the one before."""
        if not NAME.fullmatch(name):
            raise Refused(400, "invalid_payload", f"Invalid agent name {name!r}", "agent_name")
        check_metadata(body.get("metadata"))
        if len(body.get("description") or "") > 512:
            raise Refused(400, "invalid_payload", "description is too long", "description")
        check_definition(body.get("definition"))
        agent = self.agents.setdefault(name, Agent(name, f"agent_{uuid.uuid4().hex[:12]}"))
        agent.made += 1
        number = str(agent.made)
        agent.versions[number] = {
            "object": "agent.version",
            "id": f"{agent.id}:{number}",
            "name": name,
            "version": number,
            "metadata": body.get("metadata") or {},
            "description": body.get("description") or "",
            "definition": body["definition"],
            "created_at": int(self.now()),
            "draft": bool(body.get("draft")),
            "status": "active",
        }
        return agent.versions[number]

    def edit_in_portal(self, name: str, *, keep_metadata: bool = False, **changes: Any) -> str:
        """Make a version as a person does in the portal, and return its number."""
        latest = self.agents[name].body()["versions"]["latest"]
        metadata = latest["metadata"] if keep_metadata else {}
        definition = {**latest["definition"], **changes}
        return self.create_version(name, {"definition": definition, "metadata": metadata})["version"]

    def agent(self, name: str) -> Agent:
        """Return the agent, or refuse with 404."""
        if name not in self.agents:
            raise Refused(404, "not_found", f"Agent {name} was not found")
        return self.agents[name]

    def version(self, name: str, number: str | None) -> dict[str, Any]:
        """Return the version, or the latest one, or refuse with 404."""
        agent = self.agent(name)
        found = agent.versions.get(number) if number else agent.body()["versions"]["latest"]
        if found is None:
            raise Refused(404, "not_found", f"Agent {name} has no version {number}")
        return found

    def delete_version(self, name: str, number: str) -> None:
        """Delete a version, and the agent with its last one unless `keeps_empty_agents`."""
        self.version(name, number)
        agent = self.agents[name]
        del agent.versions[number]
        if not agent.versions and not self.keeps_empty_agents:
            del self.agents[name]

    def create_conversation(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make a conversation, with items or without."""
        check_metadata(body.get("metadata"))
        name = f"conv_{uuid.uuid4().hex}"
        self.conversations[name] = input_items(body.get("items"))
        self.metadata[name] = body.get("metadata") or {}
        return self.conversation(name)

    def conversation(self, name: str) -> dict[str, Any]:
        """Return the conversation as the API shows it, or refuse with 404."""
        if name not in self.conversations:
            raise Refused(404, "not_found", f"Conversation {name} was not found")
        shown = {"id": name, "object": "conversation", "created_at": int(self.now())}
        return {**shown, "metadata": self.metadata[name]}

    def create_response(self, body: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], None]]:
        """Return a response, and what makes it part of its conversation once it is complete."""
        reference = body.get("agent_reference") or {}
        if not reference:
            raise Refused(400, "invalid_payload", "This fake only runs agents", "agent_reference")
        for name in OWNED_BY_AGENT:
            if body.get(name) is not None:
                raise Refused(400, "invalid_payload", "Not allowed when agent is specified.", name)
        if body.get("model") == "":
            raise Refused(400, "invalid_payload", "model must not be empty", "model")
        definition = self.version(reference["name"], reference.get("version"))["definition"]
        if not self.agents[reference["name"]].enabled:
            raise Refused(403, "agent_disabled", f"Agent {reference['name']} is disabled")
        new, conversation = input_items(body.get("input")), body.get("conversation")
        said = [*self._before(conversation, body.get("previous_response_id")), *new]
        if call := unanswered_call(said):
            raise Refused(400, "invalid_payload", f"No tool output found for function call {call}.", "input")
        self._check_answers(said)
        self._number += 1
        response = {
            "id": f"resp_{self._number:032d}",
            "object": "response",
            "created_at": int(self.now()),
            "model": self.served_model or definition["model"],
            "agent_reference": reference,
            "conversation": {"id": conversation} if conversation else None,
            "previous_response_id": body.get("previous_response_id"),
            "metadata": body.get("metadata") or {},
            "error": None,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": definition.get("tools") or [],
            **respond(definition, said, body.get("max_output_tokens"), self._number),
        }

        def keep() -> None:
            self.responses[response["id"]] = [*said, *response["output"]]
            if conversation:
                self.conversations[conversation] += [*new, *response["output"]]

        return response, keep

    def _check_answers(self, said: list[Item]) -> None:
        """Refuse an answer to what nobody asked, and a second one to the same request."""
        asked = [item["id"] for item in said if item["type"] == "mcp_approval_request"]
        answered = answered_requests(said)
        if wrong := [each for each in answered if each not in asked or answered.count(each) > 1]:
            raise Refused(400, "invalid_payload", f"No open approval request {wrong[0]}", "input")

    def _before(self, conversation: str | None, previous: str | None) -> Sequence[Item]:
        if conversation and previous:
            raise Refused(400, "invalid_payload", "conversation and previous_response_id exclude each other")
        if conversation:
            self.conversation(conversation)
            return self.conversations[conversation]
        if previous and previous not in self.responses:
            raise Refused(404, "not_found", f"Previous response {previous} was not found", "previous_response_id")
        return self.responses[previous] if previous else ()


def check_metadata(metadata: dict[str, str] | None) -> None:
    """Refuse what is over the documented limits."""
    pairs = metadata or {}
    if len(pairs) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in pairs.items()):
        raise Refused(400, "invalid_payload", "metadata is over its limits", "metadata")


def check_definition(definition: dict[str, Any] | None) -> None:
    """Refuse a definition that the service would refuse."""
    given = definition or {}
    if given.get("kind") != "prompt":
        raise Refused(403, "preview_feature_required", "This kind of agent is in preview")
    if not given.get("model"):
        raise Refused(400, "invalid_payload", "model is required", "definition.model")
    if not 0 <= given.get("temperature", 1) <= 2 or not 0 <= given.get("top_p", 1) <= 1:
        raise Refused(400, "invalid_payload", "sampling is out of range", "definition.temperature")
    tools = given.get("tools") or []
    if len(tools) > 128 or any(not tool.get("type") for tool in tools):
        raise Refused(400, "invalid_payload", "tools are not valid", "definition.tools")
    for tool in tools:
        if tool["type"] == "file_search" and not tool.get("vector_store_ids"):
            raise Refused(400, "invalid_payload", "file_search needs vector_store_ids", "definition.tools")
        if tool["type"] == "mcp" and not (tool.get("server_url") or tool.get("project_connection_id")):
            raise Refused(400, "invalid_payload", "mcp needs a server", "definition.tools")


def page(entries: Sequence[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """Return the page of a list, oldest first, that the query asks for."""
    limit = int(query.get("limit", 20))
    if not 1 <= limit <= 100 or query.get("order", "desc") not in ("asc", "desc"):
        raise Refused(400, "invalid_payload", "limit is 1-100, order asc or desc", "limit")
    ordered = list(entries) if query.get("order") == "asc" else list(reversed(entries))
    ids = [entry["id"] for entry in ordered]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    stop = len(ids)
    before = query.get("before") in ids
    if before:
        stop = ids.index(query["before"])
        start = max(start, stop - limit)
    data = ordered[start:stop][:limit]
    more = start > 0 if before else start + len(data) < stop
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": more}
