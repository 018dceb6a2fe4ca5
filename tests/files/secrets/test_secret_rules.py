"""Forms of keys and tokens: all that are planted are found, and nothing in this project's own sources."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exai.files.secrets.places import places_of, redacted
from exai.files.secrets.rules import built_in_spans
from exai.files.secrets.scanner import OVERLAP_BYTES, WINDOW_BYTES, SecretScanner
from support.planted_secrets import B64, BUILT_IN, FURTHER, HEX, pem, planted, some

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_form_is_found_in_its_place(name: str) -> None:
    rule, secret = BUILT_IN[name]
    before, after = "zwölf = 12\nkey: '", "' # end\nlast\n"
    content = f"{before}{secret}{after}".encode()
    (span,) = built_in_spans(content)
    assert (span.rule, content[span.start : span.end].decode()) == (rule, secret)
    lines = content.decode().splitlines()
    places = places_of(content, [span], 1)
    shown = redacted(1, lines, places)
    assert len(shown) == len(lines)
    assert (shown[0], shown[1][:6], shown[-1]) == ("zwölf = 12", "key: '", "last")
    assert f"«{rule}»" in shown[1]
    assert not any(part in "\n".join(shown) for part in secret.split("\n") if len(part) > 20)


def test_lines_of_a_part_of_a_text_are_redacted_by_the_places_of_the_whole() -> None:
    lines = ["a", *pem("EC ").split("\n"), "b"]
    content = "\n".join(lines).encode()
    places = places_of(content, built_in_spans(content), 1)
    assert redacted(5, lines[4:8], places) == ("«private-key»",) * 4
    assert redacted(len(lines), lines[-1:], places) == ("b",)


def test_what_only_looks_like_a_secret_is_left() -> None:
    for text in (
        "-----BEGIN PRIVATE KEY----- is how such a file begins",
        "AKIA is a prefix, and so are ghp_ and sk-",
        f"sha256:{some(HEX, 64)}",
        f"{some(HEX, 32)}.txt and version 1.2.3",
        "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJzb21lYm9keSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ",
        f"-----BEGIN CERTIFICATE-----\n{some(B64, 64)}\n-----END CERTIFICATE-----",
    ):
        assert built_in_spans(text.encode()) == [], text


def sources() -> Iterator[Path]:
    """The files of this project that are no test."""
    yield from ROOT.glob("*.lock")
    for folder in ("src", "docs", "examples", "benchmarks", "checks"):
        yield from (
            file for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".md", ".toml", ".json"}
        )


def test_nothing_is_found_in_the_sources_of_this_project(scanner: SecretScanner) -> None:
    found = {file: spans for file in sources() if (spans := scanner.spans(file.read_bytes()))}
    assert found == {}


@pytest.fixture(scope="module")
def scanner() -> SecretScanner:
    return SecretScanner(uses_kingfisher=True)


def test_kingfisher_finds_all_that_is_planted(scanner: SecretScanner) -> None:
    secrets = {**{name: secret for name, (_, secret) in BUILT_IN.items()}, **FURTHER}
    assert len(secrets) >= 60
    found = {name: scanner.spans(planted(name, secret)) for name, secret in secrets.items()}
    assert [name for name, spans in found.items() if len(spans) != 1] == []
    for name, secret in secrets.items():
        place = planted(name, secret).index(secret.encode())
        assert found[name][0].start <= place < place + len(secret) <= found[name][0].end, name
    assert scanner.rules.startswith("1+kingfisher-")


def test_kingfisher_finds_what_lies_across_two_windows_once(scanner: SecretScanner) -> None:
    secret = FURTHER["digitalocean"].encode()
    step = WINDOW_BYTES - OVERLAP_BYTES
    ends = (0, step - 10, step + OVERLAP_BYTES - 10, 2 * step + 7, 3 * step)
    content = bytearray(b" " * (3 * step + OVERLAP_BYTES))
    for at in ends:
        content[at : at + len(secret)] = secret
    assert [(span.start, span.end) for span in scanner.spans(bytes(content))] == [
        (at, at + len(secret)) for at in ends
    ]
    wide = ("\ufeff" + "x = 1\n" * WINDOW_BYTES + f"token = '{secret.decode()}'\n").encode("utf-16-le")
    assert len(scanner.spans(wide)) == 1


def test_kingfisher_is_used_for_scanning_alone() -> None:
    for file in (ROOT / "src").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "kingfisher" in text:
            assert "Validator" not in text, file
            assert "Revoker" not in text, file
            assert text.count("import_module(MODULE)") <= 1, file
