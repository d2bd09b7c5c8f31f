"""Seats: the open sessions of each member as rows; a member's workload is the number of its seats.

Table `teams`, partition `{workspace}!{team}`:
`seat!{member}!{number}`    a session of the member; numbers are below its `max_workload`
`held!{session}!{member}`   the same by session, written in the same transaction

A row key can be inserted only once, so no member ever gets more sessions than allowed, however many arrive at once. A
seat is taken before the session names the member, and released after it names another: a crash in between leaves a seat
too many, which is released when it is noticed, never one too few.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Row, RowChanged, RowExists, Span, Tables, every

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.specs.team import Member

TABLE = "teams"
_YOUNG = timedelta(minutes=10)
"""For this long a seat may be of a session that is about to be stored."""
_LOOK_EVERY = timedelta(seconds=30)
"""How often a process checks whether the seats of a full member are in use."""
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Seat:
    """A seat: a session of a member.

    Attributes:
        member: The member.
        number: The seat's number.
        session_id: The session's id.
        at: When it was taken, aware UTC.
    """

    member: str
    number: int
    session_id: str
    at: datetime


class Seats:
    """Takes and releases seats."""

    def __init__(self, tables: Tables, conversations: ConversationStore, clock: Clock) -> None:
        self._tables = tables
        self._conversations = conversations
        self._clock = clock
        self._looked: dict[tuple[str, str, str], datetime] = {}

    async def taken(self, workspace: str, team: str, member: str | None = None) -> Sequence[Seat]:
        """Return the taken seats of one member or of all."""
        prefix = "seat!" if member is None else f"seat!{member}!"
        rows = every(self._tables, TABLE, Span.prefix(home(workspace, team), prefix))
        return [_seat(row) async for row in rows]

    async def loads(self, workspace: str, team: str, members: Sequence[Member]) -> Mapping[str, int]:
        """Return the number of each member's open sessions; unused seats of full members are released first."""
        seats = await self.taken(workspace, team)
        counts = Counter(seat.member for seat in seats)
        for member in members:
            if counts[member.name] >= member.max_workload:
                own = [seat for seat in seats if seat.member == member.name]
                counts[member.name] -= await self._given_back(workspace, team, member.name, own)
        return counts

    async def exact(self, workspace: str, team: str) -> Sequence[Seat]:
        """Return the seats in use, after checking every session; unused ones are released."""
        seats = await self.taken(workspace, team)
        used = await asyncio.gather(*(self._in_use(workspace, team, seat) for seat in seats))
        for seat, in_use in zip(seats, used, strict=True):
            if not in_use:
                await self.give_back(workspace, team, seat.member, seat.session_id)
        return [seat for seat, in_use in zip(seats, used, strict=True) if in_use]

    async def take(self, workspace: str, team: str, member: Member, session_id: str) -> bool:
        """Take a seat for the session and return whether it has one, now or from before."""
        partition, name = home(workspace, team), member.name
        held = f"held!{session_id}!{name}"
        for _ in range(_TRIES):
            if await self._tables.get(TABLE, partition, held) is not None:
                return True
            seats = await self.taken(workspace, team, name)
            beyond = sum(1 for seat in seats if seat.number >= member.max_workload)  # from before its limit was lowered
            numbers = {seat.number for seat in seats}
            free = [number for number in range(member.max_workload - beyond) if number not in numbers]
            if not free:
                if not await self._given_back(workspace, team, name, seats):
                    return False
                continue
            number = random.choice(free)  # noqa: S311 - spreads those who arrive at once, guards nothing
            values = {"session": session_id, "at": self._clock()}
            writes = [
                Insert(Row(partition, f"seat!{name}!{number:04d}", values)),
                Insert(Row(partition, held, {"number": number})),
            ]
            try:
                await self._tables.commit(TABLE, writes)
            except RowExists:
                continue  # taken by another, or by this commit with its response lost
            return True
        return False

    async def give_back(self, workspace: str, team: str, member: str, session_id: str) -> None:
        """Release the session's seat; does nothing if it has none."""
        partition, held = home(workspace, team), f"held!{session_id}!{member}"
        row = await self._tables.get(TABLE, partition, held)
        if row is None:
            return
        seat = f"seat!{member}!{row.integer('number'):04d}"
        try:
            await self._tables.commit(TABLE, [Delete(partition, held, row.etag), Delete(partition, seat)])
        except RowChanged:
            return  # another process released it

    async def _given_back(self, workspace: str, team: str, member: str, seats: Sequence[Seat]) -> int:
        """Release seats that no session uses, unless that was checked recently; return how many."""
        now, key = self._clock(), (workspace, team, member)
        if self._looked.get(key, now - _LOOK_EVERY) > now - _LOOK_EVERY:
            return 0
        self._looked[key] = now
        used = await asyncio.gather(*(self._in_use(workspace, team, seat) for seat in seats))
        idle = [seat for seat, in_use in zip(seats, used, strict=True) if not in_use]
        for seat in idle:
            await self.give_back(workspace, team, member, seat.session_id)
        return len(idle)

    async def _in_use(self, workspace: str, team: str, seat: Seat) -> bool:
        session = (await self._conversations.load(workspace, seat.session_id)).session
        if session is not None and session.over:
            return False
        assignment = session.assignment if session else None
        if assignment is not None and (assignment.team, assignment.member) == (team, seat.member):
            return True
        return seat.at > self._clock() - _YOUNG


def home(workspace: str, team: str) -> str:
    """Return the partition of a team."""
    return f"{workspace}!{team}"


def _seat(row: Row) -> Seat:
    _, member, number = row.key.split("!")
    at = row.moment("at")
    if at is None:
        msg = f"row {row.key} has no time"
        raise ValueError(msg)
    return Seat(member, int(number), row.text("session"), at)
