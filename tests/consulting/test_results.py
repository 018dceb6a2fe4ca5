"""What a tool returns."""

import msgspec

from exai.consulting.results import Result


class Found(Result, frozen=True):
    """A result without words of its own."""

    pages: int
    note: str | None = None


def test_the_text_of_a_result_without_words_of_its_own_is_its_json() -> None:
    assert msgspec.json.decode(Found(pages=3).text()) == {"pages": 3, "note": None}
