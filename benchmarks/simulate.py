"""Resumable delivery, or membership, under every order of events, in seeded schedules.

    scripts/bench simulate [--of delivery|membership] [--schedules N] [--first SEED]

Membership is described in `benchmarks.simulated_fleet`. Delivery is between two endpoints: each schedule lets both
send, receive, process and acknowledge in random order, and cuts, fences and resumes between any two steps. In the end
every message must have been processed once, in order, by the peer, or be within a gap that was reported to it. A
schedule that breaks this is named by its seed.
"""

import argparse
import random
import time
from collections import deque
from dataclasses import dataclass, field

from benchmarks.simulated_fleet import FleetSimulation
from exai.protocol.session import Ack, Bounds, Endpoint, Item, State, Violation, read_frame

STEPS = 300
MESSAGES = 60


@dataclass
class Peer:
    """One endpoint, with what its application sent and received."""

    endpoint: Endpoint
    sent: list[str] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    processing: deque[str] = field(default_factory=deque)
    lost: set[str] = field(default_factory=set)
    """Messages of the peer that are within reported gaps."""


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
        # A client that had to give up messages begins another session, so only the server's endpoint is tight.
        roomy = Bounds(10_000, 2**20, 1e9, bounds.credit)
        self.client, self.server = Peer(Endpoint(roomy)), Peer(Endpoint(bounds))
        self._wire: Wire | None = None
        self._now = 0.0

    def run(self) -> None:
        """Step at random, then let everything arrive; raises `AssertionError` where delivery is not exact."""
        steps = [
            self._send,
            self._receive,
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
            if not moved and not self.client.endpoint.pending and not self.server.endpoint.pending:
                break
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            expected = [text for text in sender.sent if text not in receiver.lost]
            assert receiver.received == expected, (
                f"received {receiver.received}, sent {sender.sent}, lost {receiver.lost}"
            )

    def _peer(self) -> Peer:
        return self._random.choice((self.client, self.server))

    def _send(self) -> None:
        peer = self._peer()
        if len(peer.sent) < MESSAGES:
            text = f'"{"c" if peer is self.client else "s"}{len(peer.sent) + 1}"'
            peer.sent.append(text)
            peer.endpoint.send(text, self._now)
        self._flush()

    def _flush(self) -> bool:
        wire = self._wire
        if wire is None:
            return False
        out = [*self.client.endpoint.frames_to_send(), *self.client.endpoint.ack_to_send()]
        back = [*self.server.endpoint.frames_to_send(), *self.server.endpoint.ack_to_send()]
        wire.to_server.extend(out)
        wire.to_client.extend(back)
        return bool(out or back)

    def _receive(self) -> bool:
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
        message = peer.endpoint.receive(frame, generation)
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
        peer.received.append(peer.processing.popleft())
        peer.endpoint.mark_processed()

    def _acknowledge(self) -> None:
        self._flush()

    def _drain(self) -> bool:
        moved = False
        for _ in range(8):
            moved |= self._receive() | self._process()
        return moved

    def _cut(self) -> None:
        """The socket goes with all that was under way; the endpoints notice, or the server only when it is fenced."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        self.client.endpoint.cut(wire.client_generation)
        if self._random.random() < 0.7:
            self.server.endpoint.cut(wire.server_generation)

    def _resume(self) -> None:
        if self._wire is not None:
            return
        client, server = self.client.endpoint, self.server.endpoint
        oldest = max(server.oldest, client.last_received + 1)
        if oldest > client.last_received + 1:
            self.client.lost.update(self.server.sent[client.last_received : oldest - 1])
            while (
                self.client.processing
            ):  # the client reads the answer to `resume` after all that came before
                self._process_one(self.client)
            client.skip_to(oldest)
        client_received, server_received = client.last_received, server.last_received
        self._wire = Wire(
            server_generation=server.attach(peer_received=client_received, peer_credit=self._bounds.credit),
            client_generation=client.attach(peer_received=server_received, peer_credit=self._bounds.credit),
        )
        self._flush()

    def _bound(self) -> None:
        """What the owner of an endpoint does when too much is kept: cut, then give up the oldest."""
        endpoint = self.server.endpoint
        if endpoint.is_over_bounds(self._now):
            if endpoint.state is State.ATTACHED:
                self._cut()
                endpoint.cut(endpoint.generation)
            endpoint.evict(self._now)


SIMULATIONS: dict[str, type[Simulation | FleetSimulation]] = {
    "delivery": Simulation,
    "membership": FleetSimulation,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench simulate", description=__doc__.splitlines()[0])
    parser.add_argument("--of", choices=SIMULATIONS, default="delivery", help="(default %(default)s)")
    parser.add_argument("--schedules", type=int, default=100_000, help="how many (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (default %(default)s)")
    options = parser.parse_args()
    began = time.perf_counter()
    broken = []
    for seed in range(options.first, options.first + options.schedules):
        try:
            SIMULATIONS[options.of](seed).run()
        except (AssertionError, Violation) as error:
            broken.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {str(error)[:200]}")
        if (done := seed - options.first + 1) % 10_000 == 0:
            print(
                f"{done:>8} schedules, {len(broken)} broken, {done / (time.perf_counter() - began):.0f} per s"
            )
    if broken:
        raise SystemExit(f"{len(broken)} of {options.schedules} schedules broke {options.of}")
    print(f"{options.schedules} schedules, none broke {options.of}")


if __name__ == "__main__":
    main()
