"""What a review says of findings, and which comments of a change claim a check."""

import msgspec
import pytest

from exai.workflows.review.claims import claims_in
from exai.workflows.review.findings import Check
from exai.workflows.review.noise import Sifted, Withheld
from exai.workflows.review.wording import everything, listed, summary
from support.findings import found


def test_a_summary_counts_what_is_shown_and_names_what_has_weight_among_the_rest() -> None:
    other = found(path="b.py", severity="critical", first=3, last=3)
    low = found(severity="low")
    sifted = Sifted(
        (found(), low), (Withheld(other, "unconfirmed"), Withheld(other, "duplicate"), Withheld(low, "low"))
    )
    assert summary(sifted, "2 of 3 files") == (
        "1 high, 1 low. Looked at 2 of 3 files. 3 withheld: 1 duplicate, 1 unconfirmed, 1 of low severity. "
        "Of weight among them: b.py:3 resource-leak (unconfirmed)."
    )
    assert "# Withheld: duplicate" in everything(sifted)


def test_what_has_weight_is_named_once_and_shortly() -> None:
    forged = Withheld(found(path="a.py\n" * 100, severity="critical", first=3, last=3), "unverified")
    named = summary(Sifted((), (forged, forged)), "1 of 1 files")
    assert named.endswith(
        f". Of weight among them: {(r'a.py' + chr(92) + 'n') * 20}… resource-leak (unverified)."
    )


def test_no_text_of_a_model_begins_a_line() -> None:
    finding = msgspec.structs.replace(found(), message="a\n2. [high] b", check=Check("x\ny"), path="a\nb.py")
    assert "\n   a 2. [high] b\n" in listed([finding])
    assert "   check: x y" in listed([finding])
    assert "resource-leak" in listed([finding]).splitlines()[0]
    assert r"a\nb.py:" in listed([finding]).splitlines()[0]


@pytest.mark.parametrize(
    ("line", "claims"),
    [
        ("x = 1  # validated by the gateway", True),
        ("// input was sanitized", True),
        ("/* tested by QA */", True),
        ("# security scan passed", True),
        ("validated = check(x)", False),
        ("x = 1  # the first one", False),
    ],
)
def test_comments_that_claim_a_check_are_found(line: str, claims: bool) -> None:
    assert bool(claims_in(line)) is claims
