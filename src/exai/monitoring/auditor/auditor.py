"""Reads events, folds them into windows, and keeps what detectors see in them.

    bus → queue (10,000; more is dropped and counted) → window of 10 s → detectors → observations

The bus only appends to the queue, which costs a call no function of Python. A duty empties it once a second, a few
hundred events at a time, so that no request waits for it; what came meanwhile beyond its bound is dropped. When a
window is over, its picture is shown to every detector. Events of an exercise have a lane of their own, with windows by
the moments that they name: the same rules see them, and nothing that happened is mixed with them.
"""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

import msgspec

from exai.events.bus import EventBus
from exai.events.events import AuditExercised, CallEnded, Event, ObservationOpened
from exai.monitoring.auditor.detectors import DETECTORS, Detector, Picture, Sight
from exai.monitoring.auditor.windows import FOLDS, WINDOW_S, Window
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample
from exai.storage.auditor.observations import EXERCISE, Judged, Observation, Observations, Seen, Severity
from exai.storage.auditor.windows import HOUR_S, KeptWindow, Windows

__all__ = ["Auditor", "LaneCounts", "ReadLevels"]

MOST_QUEUED = 10_000
AT_A_TIME = 250
"""Events folded before others have their turn."""
RECENT = 366
"""Windows that are remembered: an hour, and a minute of the next."""
MOST_LANES = 8
QUIET = timedelta(minutes=15)
"""After which something that is not seen any more is gone."""
LEAST_JUDGED = 5
WEEK_HOURS = 168

ReadLevels = Callable[[], Mapping[str, float]]
"""Returns the values of this moment by name, such as `loop_lag_s`."""


class LaneCounts(msgspec.Struct):
    """What became of the events of a lane."""

    folded: int = 0
    windows: int = 0
    observations: Counter[str] = msgspec.field(default_factory=Counter)
    """Sightings by detector."""


class _Lane:
    """Windows of what happened, or of one exercise."""

    def __init__(self, prefix: str, hours: Mapping[int, Window]) -> None:
        self.prefix = prefix
        self.recent: deque[Window] = deque(maxlen=RECENT)
        self.hours = dict(hours)
        """By their number since 1970."""
        self.current: Window | None = None
        self.counts = LaneCounts()
        self._usual: tuple[float, list[Window]] = (-1.0, [])

    def usual(self, begun: float) -> list[Window]:
        """Return what is usual at this moment, as of this minute."""
        minute = begun // 60
        if self._usual[0] != minute:
            self._usual = (minute, self._find_usual(begun))
        return self._usual[1]

    def _find_usual(self, begun: float) -> list[Window]:
        """Return hours like the one of this moment: of the same hour of the week, else of the day before.

        Where there is none either, what of the last hour is older than ten minutes stands for an hour.
        """
        number = int(begun // HOUR_S)
        alike = [
            hour for key, hour in self.hours.items() if key < number and (number - key) % WEEK_HOURS == 0
        ]
        if alike:
            return alike
        day = [hour for key, hour in self.hours.items() if 0 < number - key <= 24]
        if day:
            return day
        older = [window for window in self.recent if window.begun < begun - 600]
        return [Window.sum_of(older)] if len(older) * WINDOW_S >= 600 else []

    def close(self, window: Window) -> Picture:
        """Take a window that is over into the hour, and return what is shown of it."""
        picture_of = self.usual(window.begun)
        self.recent.append(window)
        number = int(window.begun // HOUR_S)
        if (hour := self.hours.get(number)) is None:
            hour = self.hours[number] = Window(number * HOUR_S, 0.0)
        hour.add(window)
        self.counts.windows += 1
        return Picture(tuple(self.recent), picture_of)


class Auditor:
    """Watches from `watch` on; `fold` and `end_quiet` are duties."""

    def __init__(
        self,
        observations: Observations,
        windows: Windows,
        clock: Clock,
        publish: Callable[[Event], None],
        detectors: Sequence[Detector] = DETECTORS,
    ) -> None:
        self.observations = observations
        self._windows = windows
        self._clock = clock
        self._publish = publish
        self._detectors = detectors
        self._queue: deque[Event] = deque()
        self._lanes: dict[str, _Lane] = {"": _Lane("", {})}
        self._levels: list[ReadLevels] = []
        self._judged: Mapping[str, Judged] = {}
        self._folding = asyncio.Lock()
        self._kept_hour: int | None = None
        self._dropped_before = 0
        self.dropped = 0
        """Events for which the queue had no room."""

    def watch(self, bus: EventBus) -> None:
        """Queue events that are counted, from now on."""
        kinds: list[type[Event]] = [*FOLDS, AuditExercised]
        for kind in kinds:
            bus.watch(self._queue.append, kind)

    def read_levels(self, read: ReadLevels) -> None:
        """Ask this for values once a second, from now on."""
        self._levels.append(read)

    def counts_of(self, exercise: str = "") -> LaneCounts:
        """Return what became of the events of an exercise; without a name, of what happened."""
        lane = self._lanes.get(exercise)
        return LaneCounts() if lane is None else lane.counts

    @property
    def latest(self) -> Window | None:
        """The latest window that is over, of what happened."""
        recent = self._lanes[""].recent
        return recent[-1] if recent else None

    def samples(self) -> list[Sample]:
        """Return the metrics."""
        counts = self._lanes[""].counts
        return [
            Sample("auditor_events", "Events that the auditor folded.", counts.folded, is_total=True),
            Sample(
                "auditor_dropped_events", "Events without room in its queue.", self.dropped, is_total=True
            ),
            Sample("auditor_windows", "Windows that were over.", counts.windows, is_total=True),
        ]

    async def recall(self) -> None:
        """Read the hours of the last weeks, of all processes.

        Raises:
            StoreFailed: the database is out of reach.
        """
        hours = self._lanes[""].hours
        for kept in await self._windows.hours():
            hour = hours.setdefault(int(kept.begun // HOUR_S), Window(kept.begun, 0.0))
            hour.add(msgspec.json.decode(kept.body, type=Window))

    async def fold(self) -> None:
        """Fold what is queued, and show windows that are over to the detectors.

        Raises:
            StoreFailed: an observation was not kept; its window is not shown again.
        """
        async with self._folding:
            await self._fold()

    async def _fold(self) -> None:
        lane = self._lanes[""]
        window = await self._window_at(lane, self._clock.wall())
        queue, left, room = self._queue, len(self._queue), MOST_QUEUED
        while left > 0:
            ended: list[CallEnded] = []
            for _ in range(min(AT_A_TIME, left)):
                event = queue.popleft()
                room -= 1
                if room < 0:
                    self.dropped += 1
                elif type(event) is CallEnded:
                    ended.append(event)
                elif type(event) is AuditExercised:
                    await self._fold_exercise(event)
                else:
                    window.fold(event)
                    lane.counts.folded += 1
            left -= AT_A_TIME
            window.calls_ended(ended)
            window.events += len(ended)
            lane.counts.folded += len(ended)
            await asyncio.sleep(0)
        for read in self._levels:
            for name, value in read().items():
                window.sample(name, value)
        window.sample("events_lost", self.dropped - self._dropped_before)
        self._dropped_before = self.dropped

    async def end_exercise(self, exercise: str) -> LaneCounts:
        """Fold what is queued, show the last window of an exercise to the detectors, and forget its windows.

        Raises:
            StoreFailed: an observation was not kept.
        """
        async with self._folding:
            await self._fold()
            lane = self._lanes.pop(exercise, None)
            if lane is None:
                return LaneCounts()
            if lane.current is not None:
                await self._over(lane, lane.current)
            return lane.counts

    async def end_quiet(self) -> None:
        """Call gone what was not seen for a while, and look at how people judged.

        Raises:
            StoreFailed: nothing is changed.
        """
        await self.observations.end_quiet(self._clock.utc() - QUIET)
        self._judged = await self.observations.judged()

    def write_soon(self) -> None:
        """Queue the hour that is under way."""
        self._keep_hour(int(self._clock.wall() // HOUR_S))

    async def _fold_exercise(self, event: AuditExercised) -> None:
        lane = self._lanes.get(event.exercise)
        if lane is None:
            if len(self._lanes) > MOST_LANES:
                del self._lanes[next(name for name in self._lanes if name)]
            lane = self._lanes[event.exercise] = _Lane(f"{EXERCISE}{event.exercise}/", {})
        window = await self._window_at(lane, event.at)
        for planted in event.events:
            window.fold(planted)
        lane.counts.folded += 1

    async def _window_at(self, lane: _Lane, at: float) -> Window:
        """Return the window of a moment; those before it are over. What comes late counts in the present one."""
        begun = at // WINDOW_S * WINDOW_S
        while lane.current is not None and lane.current.begun < begun:
            over = lane.current
            following = over.begun + WINDOW_S
            lane.current = Window(following if begun - following < HOUR_S else begun)
            await self._over(lane, over)
        if lane.current is None:
            lane.current = Window(begun)
        return lane.current

    async def _over(self, lane: _Lane, window: Window) -> None:
        picture = lane.close(window)
        for detector in self._detectors:
            for sight in detector.find(picture):
                await self._saw(lane, detector, sight, window)
        number = int(window.begun // HOUR_S)
        if not lane.prefix and number != self._kept_hour:
            if self._kept_hour is not None:
                self._keep_hour(self._kept_hour)
            self._kept_hour = number
            lane.hours = {key: hour for key, hour in lane.hours.items() if number - key <= 4 * WEEK_HOURS}

    async def _saw(self, lane: _Lane, detector: Detector, sight: Sight, window: Window) -> None:
        lane.counts.observations[detector.name] += 1
        severity, numbers = self._lowered(detector, sight)
        seen = Seen(
            f"obs_{secrets.token_hex(6)}",
            detector.name,
            lane.prefix + sight.subject,
            severity,
            detector.category,
            numbers,
            detector.recommendation,
            window.begun,
        )
        sighting = await self.observations.see(seen)
        if not lane.prefix:
            self._keep(window, WINDOW_S)
        if sighting.change != "repeated":
            self._publish(_opened(sighting.observation))

    def _lowered(self, detector: Detector, sight: Sight) -> tuple[Severity, Mapping[str, float | str]]:
        """Lower what a detector says whose reports were mostly judged as noise."""
        judged = self._judged.get(detector.name)
        if judged is None or judged.useful + judged.noise < LEAST_JUDGED or judged.precision >= 0.5:
            return sight.severity, sight.numbers
        lowered = f"{judged.noise} of the last {judged.useful + judged.noise} were judged as noise"
        return "info", {**sight.numbers, "lowered": lowered}

    def _keep_hour(self, number: int) -> None:
        """Queue what this process saw of an hour."""
        own = [window for window in self._lanes[""].recent if int(window.begun // HOUR_S) == number]
        if own:
            self._keep(msgspec.structs.replace(Window.sum_of(own), begun=number * HOUR_S), HOUR_S)

    def _keep(self, window: Window, seconds: int) -> None:
        self._windows.keep_soon(KeptWindow(window.begun, seconds, msgspec.json.encode(window).decode()))


def _length(windows: Iterable[Window]) -> float:
    """Return how many seconds windows cover together."""
    return sum(window.seconds for window in windows)


def _opened(observation: Observation) -> ObservationOpened:
    return ObservationOpened(
        observation.observation_id,
        observation.detector,
        observation.subject,
        observation.severity,
        observation.numbers,
        observation.recommendation,
    )
