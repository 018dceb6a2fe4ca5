"""`exai models`: what can be asked, and what it costs."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.config.tree import KEY_ALIASES

Models = Callable[..., Result]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Models:
    for name in ("EXAI_CONFIG", *(alias for aliases in KEY_ALIASES.values() for alias in aliases)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(build_app(), ["models", *arguments])


def test_models_are_listed_with_windows_and_abilities(models: Models) -> None:
    result = models()
    assert result.exit_code == 0
    assert "glm (no key set: cannot be asked)" in result.output
    assert re.search(
        r"^- kimi-k3; 1048k window; images, .*always thinks low/high/max", result.output, re.MULTILINE
    )
    assert re.search(r"^- glm-4.7-flash;.*; free$", result.output, re.MULTILINE)
    assert re.search(r"^- glm-5.3-flashx;.*; price unknown$", result.output, re.MULTILINE)
    assert len(json.loads(models("--json").output)["providers"]) == 2


def test_the_price_list_has_currency_dates_and_no_zero_for_the_unknown(models: Models) -> None:
    result = models("--prices")
    assert result.exit_code == 0
    assert "USD per million tokens" in result.output
    cells = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line}
    assert cells["glm-5.3"] == ["1.40", "0.26", "-", "4.40", "2026-11-22"]
    assert cells["kimi-k3"] == ["3.00", "0.30", "3.00", "15.00", "2026-11-22"]
    assert cells["glm-4.7-flash"][:4] == ["free"] * 4
    assert cells["glm-5.3-flashx"] == ["-"] * 5
    fees = [line.split() for line in result.output.splitlines() if line.startswith(("glm  ", "kimi  "))]
    assert ["kimi", "web_search", "0.005", "2026-11-22"] in [fee[:4] for fee in fees]
    assert ["glm", "web_search", "-", "2026-11-22"] in [fee[:4] for fee in fees]


def test_json_says_the_same_and_holds_configured_prices(models: Models) -> None:
    row = (
        "providers.custom.local.base_url=http://127.0.0.1:1/v1",
        'providers.custom.local.models=[{"name": "tiny", "input_price": 0.1, "output_price": 0.2}]',
    )
    result = models("--prices", "--json", *(part for line in row for part in ("--set", line)))
    document = json.loads(result.output)
    assert document["currency"] == "USD"
    by_name = {entry["model"]: entry for entry in document["models"]}
    assert by_name["glm-5.3"]["cached_input"] == 0.26
    assert by_name["glm-4.7-flash"]["free"] is True
    assert by_name["glm-5.3-flashx"]["input"] is None
    assert by_name["glm-5.3-flashx"]["free"] is False
    assert (by_name["local/tiny"]["input"], by_name["local/tiny"]["output"]) == (0.1, 0.2)
    assert {(fee["provider"], fee["service"]): fee["each"] for fee in document["fees"]}[
        "glm", "web_search"
    ] is None
