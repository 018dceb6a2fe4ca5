"""`exai files check`: compares rows with bytes, and copies with the lists of providers."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.listing import as_json_text, size_of
from exai.cli.stored_files.own_copies import OwnCopies, with_copies
from exai.errors import DeadlineExceeded, ProviderFault
from exai.files.store.check import StoreDifferences
from exai.providers.remote_files.comparison import CopyComparison, CopyDifferences

__all__ = ["app"]

app = new_app()

Repair = tuple[str, int, Callable[[], Awaitable[int]]]
"""What would be done, how many differences it is for, and what does it."""
OF_DEMONSTRATION = (
    "exai: copies are not compared: a demonstration has its providers inside its daemon. "
    "For the ordinary data: --no-demo."
)
ONLY_COPIES = (
    "its copies cannot be compared from here. For those of the ordinary data: "
    "`exai files check --copies --no-demo`."
)
UNLISTED_PARTS = (
    "parts of puts that were cut off are not listed: give the bucket a rule that ends them after a day "
    "(AbortIncompleteMultipartUpload)"
)
SHOWN = 5
"""Ids of a class that are printed."""


@app.command("check")
def check(
    repair: Annotated[bool, typer.Option("--mend", help="Repair, after asking for each class.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --mend: do not ask.")] = False,
    only_copies: Annotated[
        bool, typer.Option("--copies", help="Only copies at providers; the store is not read.")
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Compare rows with bytes, and copies with what providers list.

    Each byte is read, and each provider is asked; both are looked through in both directions.

    Exit code 1 where something differs, or a provider cannot be asked. Works in the data folder, with and without the
    daemon.
    """

    async def checked(own: OwnCopies) -> dict[str, Any]:
        report: dict[str, Any] = {"providers": {}}
        repairs: list[Repair] = []
        if not only_copies:
            differences = await own.check.run()
            report["store"] = _as_report(differences)
            if own.settings.files.store != "folder":
                report["store"]["note"] = UNLISTED_PARTS
            repairs += _store_repairs(own, differences)
        if not own.has_providers:
            typer.echo(OF_DEMONSTRATION, err=True)
        for provider, comparison in own.remote.comparisons().items() if own.has_providers else ():
            try:
                found = await comparison.run()
            except (ProviderFault, DeadlineExceeded) as fault:
                report["providers"][provider] = {"error": fault.code, "message": str(fault)}
                continue
            report["providers"][provider] = _as_report(found)
            repairs += _copy_repairs(own, comparison, found)
        if not as_json:
            typer.echo("\n".join(_lines(report)))
        report["repaired"] = await _repaired(repairs, ask=not yes) if repair else []
        return report

    instead = ONLY_COPIES if only_copies else None
    report = with_copies(choose_data(config_file, overrides, demo), checked, of_demonstration=instead)
    if as_json:
        typer.echo(as_json_text(report))
    if any(part.get("differences", 1) for part in _parts(report)):
        raise typer.Exit(1)


def _parts(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "store" in report:
        yield report["store"]
    yield from report["providers"].values()


def _as_report(differences: StoreDifferences | CopyDifferences) -> dict[str, Any]:
    return {**msgspec.to_builtins(differences), "differences": differences.count}


def _store_repairs(own: OwnCopies, found: StoreDifferences) -> Iterator[Repair]:
    broken = len(found.missing) + len(found.damaged)
    yield (
        "mark contents as damaged, so that the next put of the same content writes them again",
        broken,
        lambda: own.check.repair_damaged(found),
    )
    yield (
        "delete bytes that no row has, after the grace",
        len(found.unknown),
        lambda: own.check.condemn_unknown(found),
    )


def _copy_repairs(own: OwnCopies, comparison: CopyComparison, found: CopyDifferences) -> Iterator[Repair]:
    at = f"at {found.provider}"
    gone = len(found.missing) + len(found.expired)
    yield f"forget copies {at} that are not there", gone, lambda: comparison.forget_missing(found)
    yield (
        f"delete files {at} that EXAI sent and no row has (of another EXAI, if one uses this account too)",
        len(found.unknown),
        lambda: comparison.delete_unknown(found, own.owner),
    )
    yield (
        f"try again to delete copies {at} whose deletion was given up",
        len(found.undeleted),
        comparison.retry_undeleted,
    )


async def _repaired(repairs: list[Repair], *, ask: bool) -> list[dict[str, Any]]:
    done: list[dict[str, Any]] = []
    for what, count, work in repairs:
        if count and (not ask or typer.confirm(f"{what[0].upper()}{what[1:]}: {count}?", err=True)):
            done.append({"what": what, "count": await work()})
    return done


def _lines(report: dict[str, Any]) -> Iterator[str]:
    if (store := report.get("store")) is not None:
        yield f"store: {store['contents']} contents, {size_of(store['bytes'])} read"
        yield from _classes(store, ("missing", "damaged", "unknown"))
        if "note" in store:
            yield f"  {store['note']}"
    for provider, found in report["providers"].items():
        if "error" in found:
            yield f"{provider}: {found['message']}"
            continue
        yield (
            f"{provider}: {found['found']} copies there, {found['waiting']} being settled or deleted, "
            f"{found['others']} files of others"
        )
        yield from _classes(found, ("missing", "expired", "unknown", "undeleted"))
        if found["elsewhere"]:
            yield f"  {found['elsewhere']} copies lie in accounts whose keys are not set"


def _classes(found: dict[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if ids := found[name]:
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            yield f"  {name}: {len(ids)}: {', '.join(ids[:SHOWN])}{more}"
