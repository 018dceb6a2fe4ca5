"""Compares what EXAI booked with what the emulated providers know that they charged: request by request, and in sums.

The provider's side is the emulator's own log: what each request was charged for, and whether its usage was sent. EXAI's
is its journal, `GET /api/usage`, and `/metrics`. A usage that was charged and never sent is no difference, because
nobody could know it: it must be booked as unreported, and is counted by itself.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.mixed_calls import Caller, call_of
from exai.costs import Cost, Usage
from exai.providers.catalog import Catalog
from exai_emulator import RequestRecord

__all__ = ["Reconciliation", "Sums", "reconcile"]

TOKENS = ("input", "cached", "cache_write", "output", "reasoning")
CHAT = "/chat/completions"
PATHS = (CHAT, "/web_search", "/tools/search", "/tools/search_pro")
SERVICES = {"$web_search": "web_search"}
"""Names of fees at the emulator that differ from the catalogue's."""
WEB_SEARCH = "web-search"
MICRO_DOLLAR = 1e-6

Key = tuple[int, int, str, str]
"""Caller, number and kind of the call, and the model (`web-search` for a search without one)."""


@dataclass
class Sums:
    """What some requests came to."""

    sent: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    usd: float = 0.0
    """By list price, of what has one."""
    services: Counter[str] = field(default_factory=Counter)
    unreported: int = 0
    """Sent, perhaps charged for, and without a usage."""
    lost: Counter[str] = field(default_factory=Counter)
    """The tokens that were charged for and never reported, as only the provider knows them."""
    lost_usd: float = 0.0

    def add(self, other: "Sums") -> None:
        self.sent += other.sent
        self.tokens.update(other.tokens)
        self.usd += other.usd
        self.services.update(other.services)
        self.unreported += other.unreported
        self.lost.update(other.lost)
        self.lost_usd += other.lost_usd


@dataclass
class Reconciliation:
    """The sums of both sides by model, and every difference by its name."""

    calls: int
    outcomes: Mapping[str, int]
    charged: dict[str, Sums]
    """By model, by the emulator's log."""
    booked: dict[str, Sums]
    """By model, by the journal's requests."""
    differences: Counter[str]
    examples: dict[str, str]
    """One of each difference."""

    @staticmethod
    def total(of: Mapping[str, Sums]) -> Sums:
        """The sum over all models."""
        total = Sums()
        for sums in of.values():
            total.add(sums)
        return total


class _Differences:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def compare(self, name: str, where: object, one: object, other: object) -> None:
        if isinstance(one, float) and isinstance(other, float):
            is_same = abs(one - other) < MICRO_DOLLAR
        else:
            is_same = one == other
        if not is_same:
            self.counts[name] += 1
            self.examples.setdefault(name, f"{where}: {one} at one side, {other} at the other")


class _Prices:
    def __init__(self) -> None:
        self._catalog = Catalog.load()

    def of_tokens(self, model: str, usage: Usage) -> Cost:
        return self._catalog.models[model].cost(usage)

    def of_services(self, provider: str, services: Mapping[str, int]) -> Cost:
        total = Cost()
        for service, count in services.items():
            total += self._catalog.fees[provider, service].cost(count)
        return total

    def is_free(self, model: str) -> bool:
        price = self._catalog.models[model].price if model in self._catalog.models else None
        return price is not None and price.free


_PRICES = _Prices()


def _charged(record: RequestRecord) -> Sums:
    """What the provider knows of one request."""
    sums = Sums(sent=1)
    services = Counter({SERVICES.get(fee, fee): count for fee, count in record.fees.items()})
    fees_usd = _PRICES.of_services(record.provider, services).known_usd
    if not record.path.endswith(CHAT) and record.outcome != "complete":
        return Sums(sent=1, unreported=int(record.status == 200), lost_usd=fees_usd)
    sums.services, sums.usd = services, fees_usd
    charged, model = record.charged, record.model
    if charged is not None and model is not None:
        usage = Usage(charged.prompt, charged.cached, charged.output, charged.reasoning, charged.cache_write)
        usd = _PRICES.of_tokens(model, usage).known_usd
        counts = {name: getattr(usage, name) or 0 for name in TOKENS}
        if record.usage_sent:
            sums.tokens.update(counts)
            sums.usd += usd
        else:
            sums.unreported = 1
            sums.lost.update(counts)
            sums.lost_usd += usd
    return sums


def _booked(row: Mapping[str, Any], differences: _Differences) -> Sums:
    """What the journal has of one request, whose cost is made again from the row."""
    services = json.loads(row["services"] or "{}")
    services.pop("file", None)  # free of charge, and asked of another endpoint
    counts = {name: row[f"{name}_tokens"] for name in TOKENS}
    cost = _PRICES.of_services(row["provider"], services)
    if row["purpose"] == "chat":
        if any(count is not None for count in counts.values()):
            cost += _PRICES.of_tokens(row["model"], Usage(**counts))
        if row["unreported"]:
            cost += _PRICES.of_tokens(row["model"], Usage())
    is_lacking = bool(cost.unknown) or (row["purpose"] != "chat" and row["unreported"] > 0)
    where = f"{row['call_id']}, request {row['number']}"
    differences.compare("cost made again from the row", where, cost.known_usd, float(row["cost_usd"] or 0))
    differences.compare("cost that lacks a part", where, is_lacking, bool(row["without_price"]))
    return Sums(
        sent=row["attempts"],
        tokens=Counter({name: count or 0 for name, count in counts.items()}),
        usd=row["cost_usd"] or 0.0,
        services=Counter(services),
        unreported=row["unreported"],
    )


def _rows(journal: Path, query: str) -> list[dict[str, Any]]:
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query)]


def _calls(
    callers: Iterable[Caller], journal: Path, differences: _Differences
) -> dict[str, tuple[int, int, str]]:
    """Each row's caller and number: each caller made its calls in turn."""
    by_client: dict[str, list[str]] = defaultdict(list)
    for row in _rows(journal, "SELECT call_id, client FROM calls ORDER BY began_at, rowid"):
        by_client[row["client"].split()[0]].append(row["call_id"])
    numbers = {}
    for caller in callers:
        rows = by_client[caller.client]
        differences.compare("calls in the journal", caller.client, len(rows), len(caller.kinds))
        places = enumerate(zip(rows, caller.kinds, strict=False), 1)
        numbers.update({call_id: (caller.number, number, kind) for number, (call_id, kind) in places})
    return numbers


def _compare_requests(
    charged: Mapping[Key, Sums], booked: Mapping[Key, Sums], differences: _Differences
) -> None:
    """Compare what one call asked of one model."""
    for key in charged.keys() | booked.keys():
        theirs, ours = charged.get(key, Sums()), booked.get(key, Sums())
        differences.compare("requests sent", key, theirs.sent, ours.sent)
        for name in TOKENS:
            differences.compare(f"{name} tokens", key, theirs.tokens[name], ours.tokens[name])
        differences.compare("unreported requests", key, theirs.unreported, ours.unreported)
        differences.compare("cost", key, theirs.usd, ours.usd)
        if not ours.unreported:
            differences.compare("services", key, +theirs.services, +ours.services)
        elif ours.services - theirs.services:
            differences.compare("services that nobody charged", key, theirs.services, ours.services)


def _compare_calls(journal: Path, callers: Iterable[Caller], differences: _Differences) -> None:
    """Compare the sums of `calls` with their requests, and with what the callers were told."""
    rows = {row["call_id"]: row for row in _rows(journal, "SELECT * FROM calls")}
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for row in _rows(journal, "SELECT * FROM requests"):
        sums[row["call_id"]].update({name: row[f"{name}_tokens"] or 0 for name in TOKENS})
        sums[row["call_id"]].update({"usd": row["cost_usd"] or 0, "lacking": row["without_price"]})
    for call_id, row in rows.items():
        mine = sums[call_id]
        for name in TOKENS:
            differences.compare(f"{name} tokens of a call", call_id, row[f"{name}_tokens"] or 0, mine[name])
        differences.compare("cost of a call", call_id, float(row["cost_usd"] or 0), float(mine["usd"]))
        differences.compare(
            "requests without price of a call", call_id, row["without_price"], mine["lacking"]
        )
    for caller in callers:
        for result in caller.answers.values():
            _compare_answer(result, rows, differences)


def _compare_answer(
    result: dict[str, Any], rows: Mapping[str, dict[str, Any]], differences: _Differences
) -> None:
    facts = {**(result.get("structuredContent") or {}), **result.get("_meta", {}).get("exai/report", {})}
    row = rows.get(str(facts.get("call_id")))
    if row is None or result.get("isError") or "usage" not in facts:
        return
    for name in TOKENS:
        answered = facts["usage"].get(name) or 0
        differences.compare(
            f"{name} tokens of an answer", row["call_id"], answered, row[f"{name}_tokens"] or 0
        )


async def _compare_reports(operations: str, booked: Mapping[str, Sums], differences: _Differences) -> None:
    """Compare the journal with the usage report and the metrics."""
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{operations}/api/usage", params={"days": "1"}) as response:
            report = (await response.json())["usage"]
        async with http.get(f"{operations}/metrics") as response:
            samples = _samples(await response.text())
    lacking = sum(row["without_price"] for row in report)
    shown: dict[str, Sums] = defaultdict(Sums)
    for row in report:
        counts = Counter({name: row[f"{name}_tokens"] for name in TOKENS})
        shown[str(row["model"])].add(
            Sums(row["requests"], counts, row["cost_usd"], unreported=row["unreported"])
        )
    for model, ours in booked.items():
        theirs = shown[model]
        for name in TOKENS:
            differences.compare("tokens in the report", (model, name), theirs.tokens[name], ours.tokens[name])
            counted = samples("exai_tokens_total", model=model, kind=name)
            differences.compare("tokens in the metrics", (model, name), int(counted), ours.tokens[name])
        differences.compare("cost in the report", model, float(theirs.usd), float(ours.usd))
        differences.compare(
            "cost in the metrics", model, samples("exai_cost_usd_total", model=model), float(ours.usd)
        )
        differences.compare("requests in the report", model, theirs.sent, ours.sent)
        differences.compare("unreported in the report", model, theirs.unreported, ours.unreported)
        counted = samples("exai_requests_unreported_total", model=model)
        differences.compare("unreported in the metrics", model, int(counted), ours.unreported)
    counted = samples("exai_requests_without_price_total")
    differences.compare("without price, report and metrics", "all", lacking, int(counted))


def _samples(page: str) -> Callable[..., float]:
    def value(name: str, **labels: str) -> float:
        wanted = [f'{label}="{text}"' for label, text in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            if line.startswith((f"{name}{{", f"{name} ")) and all(each in line for each in wanted)
        )

    return value


def _by_model(sums: Mapping[Key, Sums]) -> dict[str, Sums]:
    models: dict[str, Sums] = defaultdict(Sums)
    for key, each in sums.items():
        models[key[-1]].add(each)
    return dict(sorted(models.items()))


async def reconcile(
    records: Iterable[RequestRecord], callers: Iterable[Caller], journal: Path, operations: str
) -> Reconciliation:
    """Compare both sides, after the last call has ended."""
    differences = _Differences()
    callers = list(callers)
    by_number = {caller.number: caller for caller in callers}
    charged: dict[Key, Sums] = defaultdict(Sums)
    for record in records:
        if record.path.endswith(PATHS):
            made = call_of(str(record.body))
            model = record.model if record.path.endswith(CHAT) else WEB_SEARCH
            differences.compare("requests of no call", record, made is not None and model is not None, True)
            if made is not None:
                kind = by_number[made[0]].kinds[made[1] - 1]
                charged[*made, kind, model or ""].add(_charged(record))
    numbers = _calls(callers, journal, differences)
    booked: dict[Key, Sums] = defaultdict(Sums)
    for row in _rows(journal, "SELECT * FROM requests WHERE purpose != 'count' ORDER BY call_id, number"):
        booked[*numbers[row["call_id"]], row["model"]].add(_booked(row, differences))
    _compare_requests(charged, booked, differences)
    _compare_calls(journal, callers, differences)
    by_model = _by_model(booked)
    await _compare_reports(operations, by_model, differences)
    outcomes = {
        row["outcome"]: row["calls"]
        for row in _rows(
            journal, "SELECT outcome, count(*) AS calls FROM calls GROUP BY outcome ORDER BY 2 DESC"
        )
    }
    return Reconciliation(
        len(numbers), outcomes, _by_model(charged), by_model, differences.counts, differences.examples
    )
