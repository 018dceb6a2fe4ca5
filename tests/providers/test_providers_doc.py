"""`docs/providers.md` says what the catalogue and the error tree say."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from exai import config, errors
from exai.messages import Effort, PictureLimits
from exai.providers.catalog import Catalog, Model
from exai.providers.dialects import DIALECTS, Dialect
from exai.routing.router import ModelRouter
from exai.runtime.clock import SystemClock

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


def part_row(provider: str) -> list[str]:
    """Provider, largest file and number of files in one request, of each way in which files are shown as they are."""
    parts = CATALOG.files[provider].parts
    return [f"{part.max_bytes / 2**20:g} MB | {part.max_count or '–'} | `{part.form}`" for part in parts]


def test_the_table_of_files_that_are_shown_as_they_are_is_the_catalogue() -> None:
    for row, provider in zip(rows("## Videos and documents"), ("kimi", "glm"), strict=True):
        assert row.casefold().startswith(f"| {provider} |")
        assert [part for part in part_row(provider) if part in row] == part_row(provider)


def provider_faults() -> dict[str, type[errors.ToolFault]]:
    faults: tuple[type[errors.ToolFault], ...] = (
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


def dialect_row(name: str, habits: Dialect) -> str:
    cells = [
        f"`{name}`",
        f"`{habits.max_tokens_field}`",
        f"`{habits.system_role}`",
        f"`{habits.thinking}`",
        f"`{habits.most_effort}`",
        "sent" if habits.temperature else "left out",
        f"`{habits.key_header}`",
        "yes" if habits.strict_finish else "no",
        f"`{habits.think_tags}`",
    ]
    return f"| {' | '.join(cells)} |"


def test_the_table_of_dialects_is_the_adapters() -> None:
    assert rows("## Other endpoints") == [dialect_row(name, habits) for name, habits in DIALECTS.items()]
    assert all(habits.stream_usage for habits in DIALECTS.values())


def test_the_dialects_are_the_ones_that_a_row_may_name() -> None:
    assert set(get_args(config.CustomProvider.model_fields["dialect"].annotation)) == DIALECTS.keys()


def test_every_example_of_another_endpoint_can_be_used() -> None:
    text = DOC.read_text(encoding="utf-8").partition("## Other endpoints\n")[2]
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    providers = config.Providers.model_validate(tomllib.loads(example[1])["providers"])
    assert {row.dialect for row in providers.custom.values()} == {
        "ollama",
        "vllm",
        "openrouter",
        "deepseek",
        "openai",
        "azure",
    }
    router = ModelRouter.from_settings(providers, config.Models(), config.Timeouts(), SystemClock())
    assert router.resolve("local/qwen3").model.efforts == (Effort.NONE, Effort.HIGH)


def test_the_limits_of_pictures_are_the_catalogues() -> None:
    named = {"GLM": "glm-5.3-flash", "Kimi": "kimi-k3"}
    limits = {title: CATALOG.models[name].pictures for title, name in named.items()}
    limits["other endpoints"] = PictureLimits()
    for title, of in limits.items():
        kinds = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WebP"}
        listed = ", ".join(kinds[kind] for kind in of.types)
        row = f"| {title} | {listed} | {of.max_bytes // 2**20} MB | {of.max_side:,} pixels | {of.max_count} |"
        assert row in rows("## Pictures")
    for model in CATALOG.models.values():
        if model.images:
            assert model.pictures == limits["GLM" if model.provider == "glm" else "Kimi"]
            assert model.pictures.max_inside_bytes == 70 * 2**20
