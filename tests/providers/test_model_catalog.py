"""The catalogue is whole, and its names mean one thing each."""

import re
from dataclasses import replace

import pytest

from exai.costs import Usage
from exai.messages import Effort
from exai.providers.catalog import Catalog, Model, Price, Retired, nearest_names

CATALOG = Catalog.load()
A_MODEL = Model("a", "p", "a", 1_000, 100)


def test_every_model_has_sound_facts() -> None:
    for model in CATALOG.models.values():
        assert model.provider in {"glm", "kimi"}
        assert 0 < model.max_output_tokens <= model.context_tokens
        assert list(model.efforts) == sorted(model.efforts, key=list(Effort).index)
        if model.default_effort is not None:
            assert model.default_effort in model.efforts
        if model.temperature is not None:
            assert model.temperature[0] < model.temperature[1]


def test_every_price_is_dated_and_cached_input_is_never_dearer() -> None:
    prices = [model.price for model in CATALOG.models.values() if model.price is not None]
    assert len(prices) >= 20
    for price in prices:
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", price.checked)
        assert 0 <= (price.cached_input or 0) <= price.input <= price.output


def test_kimi_samples_at_a_fixed_temperature_and_glm_from_0_to_1() -> None:
    for model in CATALOG.models.values():
        assert model.temperature == (None if model.provider == "kimi" else (0.0, 1.0))


@pytest.mark.parametrize("name", ["glm-4.6", "glm-4.5-flash", "GLM-5.3", " kimi-k3 ", "glm-5.2[1m]", "kimi"])
def test_current_names_and_aliases_are_found(name: str) -> None:
    assert isinstance(CATALOG.find(name), Model)


@pytest.mark.parametrize(
    "name",
    [
        "kimi-k2.5", "kimi-k2-0905-preview", "kimi-k2-0711-preview", "kimi-k2-turbo-preview", "kimi-k2-thinking",
        "kimi-latest", "kimi-latest-128k", "kimi-thinking-preview", "moonshot-v1-8k", "moonshot-v1-128k-vision-preview",
    ],
)  # fmt: skip
def test_older_names_have_a_current_successor(name: str) -> None:
    entry = CATALOG.find(name)
    assert isinstance(entry, Retired)
    assert entry.successor in CATALOG.models


def test_a_name_stands_for_one_thing() -> None:
    with pytest.raises(ValueError, match="two entries"):
        Catalog([A_MODEL, replace(A_MODEL, name="b", aliases=("A",))])
    with pytest.raises(ValueError, match="successor"):
        Catalog([A_MODEL], [Retired("old", "2026-01-01", "gone", resolves=True)])


def test_nearest_names_come_best_first() -> None:
    assert nearest_names("GLM5.3", CATALOG.names)[0] == "glm-5.3"
    assert nearest_names("quite something else", CATALOG.names) == []
    assert len(nearest_names("kimi-k" * 1_000, CATALOG.names)) <= 3


def test_cost_counts_cached_tokens_at_their_own_price() -> None:
    price = Price(input=2.0, cached_input=0.5, output=10.0, checked="2026-01-01")
    usage = Usage(input=1_000_000, cached=400_000, output=100_000, reasoning=90_000)
    assert price.cost(usage).items == pytest.approx({"input": 1.2, "cached_input": 0.2, "output": 1.0})
    assert price.cost(usage).usd == pytest.approx(2.4)
    assert replace(price, cached_input=None).cost(usage).usd == pytest.approx(3.0)
    # A provider that reports more cached tokens than it was sent does not make the call cheaper than free.
    assert price.cost(Usage(input=10, cached=1_000, output=0)).usd == pytest.approx(10 * 0.5 / 1e6)


def test_cache_writes_have_their_own_price_if_it_is_known() -> None:
    price = Price(input=2.0, cached_input=0.5, output=10.0, checked="2026-01-01", cache_write=4.0)
    usage = Usage(input=1_000_000, cached=400_000, output=0, cache_write=100_000)
    assert price.cost(usage).items == pytest.approx(
        {"input": 1.0, "cached_input": 0.2, "cache_write": 0.4, "output": 0.0}
    )
    assert replace(price, cache_write=None).cost(usage).usd == pytest.approx(0.6 * 2 + 0.2)


def test_an_unknown_price_is_unknown_and_a_free_model_is_free() -> None:
    usage = Usage(input=10, output=5)
    unknown = CATALOG.models["glm-5.3-flashx"].cost(usage)
    assert (unknown.usd, unknown.free) == (None, False)
    assert "glm-5.3-flashx" in unknown.unknown[0]
    free = CATALOG.models["glm-4.7-flash"].cost(usage)
    assert (free.usd, free.free) == (0.0, True)
    for silent in (Usage(), Usage(input=10), Usage(output=5)):
        assert CATALOG.models["glm-5.3"].cost(silent).usd is None


def test_fees_are_dated_and_an_unpublished_one_is_unknown() -> None:
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", fee.checked) for fee in CATALOG.fees.values())
    assert CATALOG.fees["kimi", "web_search"].cost(3).items == pytest.approx({"search": 0.015})
    assert CATALOG.fees["kimi", "file"].cost(1).free
    unknown = CATALOG.fees["glm", "web_search"].cost(1)
    assert unknown.usd is None
    assert "GLM web search" in unknown.unknown[0]


@pytest.mark.parametrize(
    ("name", "asked", "used"),
    [
        ("glm-5.3", Effort.NONE, Effort.LOW),
        ("glm-5.3", Effort.MEDIUM, Effort.HIGH),
        ("glm-5.3", Effort.MAX, Effort.MAX),
        ("glm-5.2", Effort.MEDIUM, Effort.MEDIUM),
        ("glm-4.7", Effort.NONE, Effort.NONE),
        ("glm-4.7", Effort.LOW, Effort.HIGH),
        ("glm-4.7", Effort.MAX, Effort.HIGH),
        ("kimi-k2.7-code", Effort.NONE, Effort.HIGH),
        ("glm-4-32b-0414-128k", Effort.HIGH, None),
    ],
)
def test_the_nearest_effort_is_not_below_the_one_asked(name: str, asked: Effort, used: Effort | None) -> None:
    assert CATALOG.models[name].nearest_effort(asked) is used
