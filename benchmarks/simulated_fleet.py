"""Membership and leases under every order of events: replicas that beat, freeze, die, and a database that goes away.

Time goes in steps of half a beat. In a step a beat that is due may arrive, or be lost before or after its
commit; replicas freeze, wake and are killed; the database is away, alone or with a fail-over whose clock differs.
Nobody may be called over who could beat; at the end the dead are known, the living are not over, and one keeps house.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from exai.storage.fleet.heartbeat import GONE, SERVING, Beat, Heartbeat
from exai.storage.fleet.leases import Lease, turn

__all__ = ["FleetSimulation", "MemoryBoard", "MemoryReplica"]

STEP_S, BEAT_S, LEASE_S = 1.0, 2.0, 10.0
STEPS = 50
QUIET_S = 2 * LEASE_S + 3 * BEAT_S


@dataclass
class MemoryBoard:
    """What the database has: the rows of replicas, the lease, and a clock of its own."""

    clock: float = 1_000_000.0
    rows: dict[str, Beat] = field(default_factory=dict)
    lease: Lease | None = None
    is_away: bool = False


class MemoryReplica:
    """A replica whose rows are in memory; it judges as a real one does."""

    def __init__(self, board: MemoryBoard, run_id: str, lease_s: float = LEASE_S) -> None:
        self.run_id = run_id
        self._board = board
        self._lease_s = lease_s
        self.heartbeat = Heartbeat(lease_s)
        self._leads_until = 0.0

    def beat(self, asked: float, *, answer_is_lost: bool = False) -> None:
        """Write and read what a beat does; `asked` is the moment by the replica's own clock."""
        board = self._board
        if board.is_away:
            self.heartbeat.missed()
            return
        board.rows[self.run_id] = Beat(self.run_id, SERVING, board.clock)
        now = datetime.fromtimestamp(board.clock, UTC)
        board.lease = turn(board.lease, self.run_id, now, self._lease_s)
        if answer_is_lost:
            self.heartbeat.missed()
            return
        self._leads_until = asked + self._lease_s if board.lease.holder == self.run_id else 0.0
        self.heartbeat.saw(board.clock, asked, board.rows.values())

    def end(self) -> None:
        """End in order."""
        board = self._board
        board.rows[self.run_id] = Beat(self.run_id, GONE, board.clock)
        if board.lease is not None and board.lease.holder == self.run_id:
            board.lease = Lease(self.run_id, datetime.fromtimestamp(board.clock, UTC))

    def is_over(self, run_id: str) -> bool:
        """Look at the rows, as the real one does."""
        row = self._board.rows.get(run_id)
        return row is None or self.heartbeat.is_over(row, self._board.clock)

    def leads(self, now: float) -> bool:
        """Whether it is the housekeeper, by its own clock."""
        return now < self._leads_until


class _Actor:
    def __init__(self, replica: MemoryReplica) -> None:
        self.replica = replica
        self.is_dead = self.is_frozen = False
        self.may_be_over = False
        """Whether it could not beat since its last beat, for a reason of its own."""
        self.next_beat = 0.0


class FleetSimulation:
    """One schedule."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._board = MemoryBoard()
        self._now = 0.0
        self._jumped_at = -1e9
        self._actors: list[_Actor] = []
        for number in range(self._random.randint(2, 4)):
            self._join(number)

    def run(self) -> None:
        """Step at random, then in quiet; raises `AssertionError` where somebody judged wrongly."""
        for _ in range(STEPS):
            self._happen()
            self._step(loses=True)
        self._board.is_away = False
        for actor in self._actors:
            actor.is_frozen = False
        for _ in range(int(QUIET_S / STEP_S)):
            self._step(loses=False)
        living = [actor for actor in self._actors if not actor.is_dead]
        for actor in living:
            over = {
                each.replica.run_id for each in self._actors if actor.replica.is_over(each.replica.run_id)
            }
            dead = {each.replica.run_id for each in self._actors if each.is_dead}
            assert over == dead, f"{actor.replica.run_id} takes {over} for over, and {dead} are dead"
        assert len(self._leaders()) == min(1, len(living)), "not one keeps house"

    def _join(self, number: int) -> None:
        actor = _Actor(MemoryReplica(self._board, f"run_{number}"))
        actor.replica.beat(self._now)
        actor.next_beat = self._now + BEAT_S
        self._actors.append(actor)

    def _happen(self) -> None:
        chance = self._random.random()
        actor = self._random.choice(self._actors)
        if chance < 0.04:
            self._board.is_away = not self._board.is_away
        elif chance < 0.07:
            actor.is_frozen = not actor.is_frozen
        elif chance < 0.08:
            actor.is_dead = True
        elif chance < 0.09:
            self._board.clock += self._random.choice((-7_200.0, -8.0, 8.0, 7_200.0))
            self._jumped_at = self._now
        elif chance < 0.10 and not self._board.is_away and len(self._actors) < 6:
            self._join(len(self._actors))

    def _step(self, *, loses: bool) -> None:
        self._now += STEP_S
        self._board.clock += STEP_S
        for actor in self._actors:
            if actor.is_dead or actor.is_frozen:
                actor.may_be_over = True
            elif self._now >= actor.next_beat:
                self._beat(actor, loses=loses)
                self._judge(actor)
        if self._now - self._jumped_at > LEASE_S:
            assert len(self._leaders()) <= 1, f"at {self._now} {self._leaders()} keep house"

    def _beat(self, actor: _Actor, *, loses: bool) -> None:
        actor.next_beat = self._now + BEAT_S * self._random.uniform(0.9, 1.1)
        lost = loses and self._random.random() < 0.05
        actor.replica.beat(self._now - self._random.uniform(0, 0.4), answer_is_lost=lost)
        if not self._board.is_away:
            actor.may_be_over = False

    def _judge(self, actor: _Actor) -> None:
        for other in self._actors:
            if actor.replica.is_over(other.replica.run_id):
                assert other.may_be_over, (
                    f"at {self._now} {actor.replica.run_id} takes {other.replica.run_id} for over"
                )

    def _leaders(self) -> list[str]:
        able = [actor for actor in self._actors if not actor.is_dead and not actor.is_frozen]
        return [actor.replica.run_id for actor in able if actor.replica.leads(self._now)]
