"""Estimates of token counts: sound for any text, near for ordinary ones, and quick."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.conversations.estimates import estimate_tokens
from exai.conversations.long_texts import LONG_TEXT, estimate_long_text

ANY_TEXT = st.text(st.characters(), max_size=300)
"""Lone surrogates and NUL included: a prompt may hold anything."""


@given(ANY_TEXT)
def test_an_estimate_is_never_negative_and_zero_for_nothing_alone(text: str) -> None:
    assert (estimate_tokens(text) == 0) is (text == "")
    assert estimate_tokens(text) >= 0


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_more_text_never_counts_for_less(before: str, added: str, after: str) -> None:
    assert estimate_tokens(before + after) <= estimate_tokens(before + added + after)


@given(ANY_TEXT, ANY_TEXT)
def test_two_texts_together_count_as_much_as_apart(one: str, other: str) -> None:
    assert abs(estimate_tokens(one) + estimate_tokens(other) - estimate_tokens(one + other)) <= 1


@given(ANY_TEXT)
def test_no_character_counts_for_more_than_two_tokens(text: str) -> None:
    assert estimate_tokens(text) <= 2 * len(text) + 1


PROSE = "The quick brown fox jumps over the lazy dog, and nobody minds very much. "
CODE = 'def load(path: Path) -> dict[str, int]:\n    return json.loads(path.read_text(encoding="utf-8"))\n'
GERMAN = "Über die Größe der Öffnung läßt sich später noch ausführlich reden. "
CHINESE = "大型语言模型可以帮助程序员理解和修改代码。"
JAPANESE = "大規模言語モデルはコードの理解と修正を助けます。"
RUSSIAN = "Большие языковые модели помогают программистам понимать код. "


@pytest.mark.parametrize(
    ("text", "counted"),
    [(PROSE, 16), (CODE, 25), (GERMAN, 19), (CHINESE, 9), (JAPANESE, 15), (RUSSIAN, 17)],
    ids=["prose", "code", "German", "Chinese", "Japanese", "Russian"],
)
def test_an_estimate_is_near_what_a_tokenizer_of_this_size_counts(text: str, counted: int) -> None:
    """The counts were made once with a published vocabulary of 150,000 entries; too much is the safe side."""
    assert 0.9 <= estimate_tokens(text * 50) / (counted * 50) <= 1.45


async def test_a_long_text_is_counted_alike_off_the_loop() -> None:
    text = (PROSE + CHINESE) * (LONG_TEXT // len(PROSE + CHINESE) + 1)
    assert len(text) >= LONG_TEXT
    assert await estimate_long_text(text) == estimate_tokens(text)
    assert await estimate_long_text(PROSE) == estimate_tokens(PROSE)
