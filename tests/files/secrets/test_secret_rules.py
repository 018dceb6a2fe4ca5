"""Forms of keys and tokens: all that are planted are found, and nothing in this project's own sources."""

import random
import string
from pathlib import Path

import pytest

from exai.files.secrets.places import places_of, redacted
from exai.files.secrets.rules import built_in_spans
from exai.files.secrets.scanner import SecretScanner

ROOT = Path(__file__).parents[3]
_chance = random.Random(20_261_129)


def some(alphabet: str, count: int) -> str:
    return "".join(_chance.choice(alphabet) for _ in range(count))


ALNUM = string.ascii_letters + string.digits
URL = ALNUM + "_-"
UPPER = string.ascii_uppercase + "234567"
HEX = "0123456789abcdef"
B64 = ALNUM + "+/"


def pem(kind: str) -> str:
    body = "\n".join(some(B64, 64) for _ in range(12))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


BUILT_IN = {
    **{
        f"private-key {n}": ("private-key", pem(kind))
        for n, kind in enumerate(("RSA ", "EC ", "", "OPENSSH "))
    },
    "private-key armored": (
        "private-key",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{some(B64, 64)}\n-----END PGP PRIVATE KEY BLOCK-----",
    ),
    "exk": ("exai-token", f"exk_{some(HEX, 16)}_{some(URL, 43)}"),
    "exr": ("exai-token", f"exr_{some(HEX, 16)}_{some(URL, 43)}"),
    "akia": ("aws-access-key", f"AKIA{some(UPPER, 16)}"),
    "asia": ("aws-access-key", f"ASIA{some(UPPER, 16)}"),
    "google": ("google-api-key", f"AIza{some(URL, 35)}"),
    "azure": ("azure-storage-key", f"AccountKey={some(B64, 86)}=="),
    **{f"gh{letter}": ("github-pat", f"gh{letter}_{some(ALNUM, 36)}") for letter in "pousr"},
    "github fine": ("github-pat", f"github_pat_{some(ALNUM + '_', 82)}"),
    **{f"gl{kind}": ("gitlab-pat", f"gl{kind}-{some(URL, 20)}") for kind in ("pat", "dt", "rt", "ptt")},
    **{
        f"{kind}": ("slack-token", f"{kind}-{some(string.digits, 12)}-{some(ALNUM, 24)}")
        for kind in ("xoxb", "xoxp", "xoxa", "xapp")
    },
    "slack hook": (
        "slack-webhook",
        f"hooks.slack.com/services/T{some(UPPER, 8)}/B{some(UPPER, 8)}/{some(ALNUM, 24)}",
    ),
    "telegram": ("telegram-bot-token", f"{some('123456789', 9)}:AA{some(URL, 32)}x"),
    "anthropic": ("anthropic-key", f"sk-ant-api03-{some(URL, 93)}AA"),
    "openai project": ("openai-key", f"sk-proj-{some(URL, 74)}"),
    "openai service": ("openai-key", f"sk-svcacct-{some(URL, 74)}"),
    "moonshot": ("moonshot-key", f"sk-{some(ALNUM, 48)}"),
    "kimi": ("moonshot-key", f"sk-kimi-{some(ALNUM, 48)}"),
    "zai": ("zai-key", f"{some(HEX, 32)}.{some(ALNUM, 16)}"),
    "stripe": ("stripe-key", f"sk_live_{some(ALNUM, 24)}"),
    "stripe restricted": ("stripe-key", f"rk_live_{some(ALNUM, 99)}"),
    "npm": ("npm-token", f"npm_{some(ALNUM, 36)}"),
    "pypi": ("pypi-token", f"pypi-AgEIcHlwaS5vcmc{some(URL, 130)}"),
    "huggingface": ("huggingface-token", f"hf_{some(ALNUM, 34)}"),
    "sendgrid": ("sendgrid-key", f"SG.{some(URL, 22)}.{some(URL, 43)}"),
}


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


def test_nothing_is_found_in_the_sources_of_this_project() -> None:
    for file in (*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.lock"), *(ROOT / "docs").rglob("*.md")):
        found = [span.rule for span in built_in_spans(file.read_bytes())]
        assert found == ([] if file.name != "security.md" else found), file


@pytest.fixture(scope="module")
def scanner() -> SecretScanner:
    return SecretScanner(uses_kingfisher=True)


FURTHER = {
    "digitalocean": f"dop_v1_{some(HEX, 64)}",
    "shopify": f"shpat_{some(HEX, 32)}",
    "linear": f"lin_api_{some(ALNUM, 40)}",
    "databricks": f"dapi{some(HEX, 32)}",
    "doppler": f"dp.pt.{some(ALNUM, 43)}",
    "groq": f"gsk_{some(ALNUM, 52)}",
    "postman": f"PMAK-{some(HEX, 24)}-{some(HEX, 34)}",
    "planetscale": f"pscale_tkn_{some(URL, 43)}",
}


def test_kingfisher_finds_more_and_nothing_in_our_sources(scanner: SecretScanner) -> None:
    found = {
        name: bool(scanner.spans(f"{name}_token = '{secret}'\n".encode())) for name, secret in FURTHER.items()
    }
    assert sum(found.values()) >= len(FURTHER) - 1, found
    for rule, secret in BUILT_IN.values():
        spans = scanner.spans(f"key = '{secret}'\n".encode())
        assert len(spans) == 1, rule
    sources = b"".join(file.read_bytes() for file in (ROOT / "src" / "exai").rglob("*.py"))
    assert scanner.spans(sources) == []
    assert scanner.rules.startswith("1+kingfisher-")


def test_kingfisher_is_used_for_scanning_alone() -> None:
    for file in (ROOT / "src").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "kingfisher" in text:
            assert "Validator" not in text, file
            assert "Revoker" not in text, file
            assert text.count("import_module(MODULE)") <= 1, file
