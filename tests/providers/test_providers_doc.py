"""`docs/providers.md` says what the catalogue and the error tree say."""

import re
from pathlib import Path

import pytest

from exai import errors
from exai.messages import Effort
from exai.providers.catalog import Catalog, Model

DOC = Path(__file__).parents[2] / "docs" / "providers.md"
CATALOG = Catalog.load()


def rows(heading: str) -> list[str]:
    """The lines of the first table below a heading, without its head."""
    below = DOC.read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    return table[0].splitlines()[2:]


def thinking(model: Model) -> str:
    if not model.efforts:
        return "no"
    if model.efforts == (Effort.NONE, Effort.HIGH):
        return "on, off"
    if model.efforts == (Effort.HIGH,):
        return "always"
    return ", ".join(model.efforts)


def model_row(model: Model) -> str:
    price = model.price
    prices = ["–"] * 4
    if price is not None:
        cached = "–" if price.cached_input is None else f"{price.cached_input:.2f}"
        prices = [f"{price.input:.2f}", cached, f"{price.output:.2f}", price.checked]
    cells = [
        f"`{model.name}`",
        f"{model.context_tokens:,}",
        f"{model.max_output_tokens:,}",
        "yes" if model.images else "no",
        "yes" if model.web_search else "no",
        thinking(model),
        *prices,
        ", ".join(f"`{alias}`" for alias in model.aliases),
    ]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def test_the_table_of_models_is_the_catalogue() -> None:
    assert rows("## Models") == [model_row(model) for model in CATALOG.models.values()]


def test_the_table_of_retired_names_is_the_catalogue() -> None:
    assert rows("### Names that are gone") == [
        f"| `{entry.name}` | {entry.since} | `{entry.successor}`{' answers' if entry.resolves else ''} |"
        for entry in CATALOG.retired.values()
    ]


def provider_faults() -> dict[str, type[errors.ToolFault]]:
    faults = (
        errors.UnknownModel,
        errors.AbilityMissing,
        errors.DeadlineExceeded,
        *errors.ProviderFault.__subclasses__(),
    )
    return {fault.code: fault for fault in faults}


def test_the_table_of_errors_has_every_code_once() -> None:
    assert sorted(re.findall(r"^\| `(\w+)`", "\n".join(rows("## Errors")), re.MULTILINE)) == sorted(
        provider_faults()
    )


@pytest.mark.parametrize("row", rows("## Errors"))
def test_the_table_of_errors_says_whether_a_retry_can_help(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[3] == ("yes" if provider_faults()[cells[0].strip("`")].retryable else "no")
