"""Resumable delivery under every order of events: two ends, sockets that are cut at any step, seeded schedules.

    scripts/bench simulate [--schedules N] [--first SEED]

Each schedule lets both ends say, hear, process and acknowledge in random order, and cuts, fences and resumes
between any two steps. In the end every message must have been processed once, in order, by the other end; or
be within a gap that it was told of. A schedule that breaks this is named by its seed.
"""

import argparse
import random
import time
from collections import deque
from dataclasses import dataclass, field

from exai.protocol.session import Ack, Bounds, End, Item, State, Violation, read_frame

STEPS = 300
MESSAGES = 60


@dataclass
class Peer:
    """One end with what its application said and heard."""

    end: End
    said: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    processing: deque[str] = field(default_factory=deque)
    lost: set[str] = field(default_factory=set)
    """Of the other end, by the gaps that this one was told of."""


@dataclass
class Wire:
    """A socket: what is under way in each direction."""

    to_server: deque[str] = field(default_factory=deque)
    to_client: deque[str] = field(default_factory=deque)
    client_generation: int = 0
    server_generation: int = 0


class Simulation:
    """One schedule."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        tight = self._random.random() < 0.3
        bounds = Bounds(
            messages=self._random.randint(3, 8) if tight else 10_000,
            bytes=2**20,
            age_s=1e9,
            credit=self._random.randint(1, 8),
        )
        self._bounds = bounds
        # A client that had to give up messages begins another session, so only the server's end is tight.
        roomy = Bounds(10_000, 2**20, 1e9, bounds.credit)
        self.client, self.server = Peer(End(roomy)), Peer(End(bounds))
        self._wire: Wire | None = None
        self._now = 0.0

    def run(self) -> None:
        """Step at random, then let everything arrive; raises `AssertionError` where delivery is not exact."""
        steps = [
            self._say,
            self._hear,
            self._process,
            self._acknowledge,
            self._cut,
            self._resume,
            self._bound,
        ]
        weights = [20, 40, 30, 10, 3, 8, 4]
        for _ in range(STEPS):
            self._now += 1
            self._random.choices(steps, weights)[0]()
        for _ in range(10_000):
            if self._wire is None:
                self._resume()
            moved = self._flush() | self._drain()
            if not moved and not self.client.end.pending and not self.server.end.pending:
                break
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            expected = [text for text in sender.said if text not in receiver.lost]
            assert receiver.heard == expected, (
                f"heard {receiver.heard}, said {sender.said}, lost {receiver.lost}"
            )

    def _peer(self) -> Peer:
        return self._random.choice((self.client, self.server))

    def _say(self) -> None:
        peer = self._peer()
        if len(peer.said) < MESSAGES:
            text = f'"{"c" if peer is self.client else "s"}{len(peer.said) + 1}"'
            peer.said.append(text)
            peer.end.say(text, self._now)
        self._flush()

    def _flush(self) -> bool:
        wire = self._wire
        if wire is None:
            return False
        out = [*self.client.end.due(), *self.client.end.ack_due()]
        back = [*self.server.end.due(), *self.server.end.ack_due()]
        wire.to_server.extend(out)
        wire.to_client.extend(back)
        return bool(out or back)

    def _hear(self) -> bool:
        wire = self._wire
        if wire is None:
            return False
        peer = self._peer()
        queue = wire.to_server if peer is self.server else wire.to_client
        generation = wire.server_generation if peer is self.server else wire.client_generation
        if not queue:
            return False
        frame = read_frame(queue.popleft())
        assert isinstance(frame, Item | Ack)
        message = peer.end.hear(frame, generation)
        if message is not None:
            peer.processing.append(message.decode())
        return True

    def _process(self) -> bool:
        peer = self._peer()
        if not peer.processing:
            return False
        self._process_one(peer)
        return True

    def _process_one(self, peer: Peer) -> None:
        peer.heard.append(peer.processing.popleft())
        peer.end.done()

    def _acknowledge(self) -> None:
        self._flush()

    def _drain(self) -> bool:
        moved = False
        for _ in range(8):
            moved |= self._hear() | self._process()
        return moved

    def _cut(self) -> None:
        """The socket goes with all that was under way; the ends notice, or the server only when it is fenced."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        self.client.end.cut(wire.client_generation)
        if self._random.random() < 0.7:
            self.server.end.cut(wire.server_generation)

    def _resume(self) -> None:
        if self._wire is not None:
            return
        client, server = self.client.end, self.server.end
        oldest = max(server.oldest, client.heard + 1)
        if oldest > client.heard + 1:
            self.client.lost.update(self.server.said[client.heard : oldest - 1])
            while (
                self.client.processing
            ):  # the client reads the answer to `resume` after all that came before
                self._process_one(self.client)
            client.skip_to(oldest)
        client_heard, server_heard = client.heard, server.heard
        self._wire = Wire(
            server_generation=server.attach(peer_heard=client_heard, peer_credit=self._bounds.credit),
            client_generation=client.attach(peer_heard=server_heard, peer_credit=self._bounds.credit),
        )
        self._flush()

    def _bound(self) -> None:
        """What an owner of an end does when too much is kept: cut, then give up the oldest."""
        end = self.server.end
        if end.is_over_bounds(self._now):
            if end.state is State.ATTACHED:
                self._cut()
                end.cut(end.generation)
            end.evict(self._now)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench simulate", description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=100_000, help="how many (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (default %(default)s)")
    options = parser.parse_args()
    began = time.perf_counter()
    broken = []
    for seed in range(options.first, options.first + options.schedules):
        try:
            Simulation(seed).run()
        except (AssertionError, Violation) as error:
            broken.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:200]}")
        if (done := seed - options.first + 1) % 10_000 == 0:
            print(
                f"{done:>8} schedules, {len(broken)} broken, {done / (time.perf_counter() - began):.0f} per s"
            )
    if broken:
        raise SystemExit(f"{len(broken)} of {options.schedules} schedules broke delivery")
    print(f"{options.schedules} schedules, none broke delivery")


if __name__ == "__main__":
    main()
