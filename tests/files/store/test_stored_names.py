"""Names of stored files."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.files.store.names import storable_name


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\plan.docx", "plan.docx"),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("a\nb\0c", "a_b_c"),
        ("gnp.\u202eexe", "gnp._exe"),
        ("half \ud83d", "half _"),
        ("e\u0301.txt", "é.txt"),
        ("x" * 300 + ".tar", "x" * 251 + ".tar"),
    ],
)
def test_a_name_is_made_storable(given_name: str, stored: str) -> None:
    assert storable_name(given_name) == stored


@given(st.text(st.characters(codec=None)))
def test_every_name_can_be_shown_encoded_and_stored_again(name: str) -> None:
    stored = storable_name(name)
    assert 0 < len(stored.encode()) <= 255
    assert not {"/", "\\"} & set(stored)
    assert all(unicodedata.category(each)[0] != "C" for each in stored)
    assert storable_name(stored) == stored
