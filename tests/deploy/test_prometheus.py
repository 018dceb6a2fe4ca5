"""The alerts for Prometheus: they parse, and ask for metrics and labels that EXAI has."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec.yaml
import promql_parser
import pytest
from promql_parser import VectorSelector

from exai.cli.command_group import SUMMARIES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "exai.rules.yaml"
OF_EVERY_SCRAPE = {"job", "instance"}


class Alert(msgspec.Struct, forbid_unknown_fields=True, rename={"lasts": "for"}):
    """A rule, in the fields that Prometheus' configuration has for it."""

    alert: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]
    lasts: str = "1s"


class Group(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    rules: list[Alert]


class Rules(msgspec.Struct, forbid_unknown_fields=True):
    groups: list[Group]


ALERTS = [
    rule for group in msgspec.yaml.decode(RULES.read_bytes(), type=Rules).groups for rule in group.rules
]
every_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.alert)


def _documented() -> dict[str, set[str]]:
    """The labels of each metric in docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = (line.split("|")[1] for line in text.splitlines() if line.startswith("| `exai_"))
    found = {"up": set[str]()}
    for name, labels in re.findall(r"`(exai_\w+)(?:\{([\w,]+)\})?`", " ".join(rows)):
        found.setdefault(name, set()).update(filter(None, labels.split(",")))
    return found


def _selectors(expression: str) -> Iterator[VectorSelector]:
    found: list[VectorSelector] = []

    def look(node: object) -> bool:
        if isinstance(node, VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), look)
    yield from found


@every_alert
def test_an_alert_asks_for_what_there_is(alert: Alert) -> None:
    documented = _documented()
    selectors = list(_selectors(alert.expr))
    assert selectors
    for selector in selectors:
        assert selector.name in documented
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= documented[selector.name] | OF_EVERY_SCRAPE


@every_alert
def test_an_alert_says_what_to_do_and_names_labels_that_it_has(alert: Alert) -> None:
    assert alert.labels.keys() == {"severity"}
    assert promql_parser.parse_duration(alert.lasts) is not None
    assert alert.annotations.keys() == {"summary", "action"}
    had = set[str]().union(*(_documented()[each.name] for each in _selectors(alert.expr) if each.name))
    used = set(re.findall(r"\$labels\.(\w+)", str(alert.annotations)))
    assert used <= had | OF_EVERY_SCRAPE
    named = set(re.findall(r"`exai (\w+)", alert.annotations["action"]))
    assert named <= set(SUMMARIES)


def test_alerts_have_names_of_their_own() -> None:
    assert len({alert.alert for alert in ALERTS}) == len(ALERTS)
