"""Filling a bundle: ids by kind, what finds no room is named, and texts that any database takes."""

import msgspec

from exai.config import Settings
from exai.error_tracking.investigation.bundle import LARGEST_PIECE, MOST_TOKENS
from exai.error_tracking.investigation.gathering.filling import Draft, Filling
from exai.error_tracking.investigation.gathering.withholding import Withholding

WITHHOLD = Withholding(Settings())


def test_pieces_of_a_kind_share_its_number() -> None:
    filling = Filling(WITHHOLD)
    for kind in ("occurrence", "source", "source", "log"):
        filling.add(Draft(kind=kind, place=kind, text="x"))
    filling.add(Draft(kind="load", place="empty", text=" \n"))
    assert [each.evidence_id for each in filling.pieces] == ["e1", "e4", "e4.2", "e10"]
    filling.add_further(Draft(kind="source", place="more", text="y"))
    filling.add_further(Draft(kind="blame", place="more", text="z"))
    assert [each.evidence_id for each in filling.pieces[-2:]] == ["e13", "e14"]
    assert not filling.left_out


def test_what_finds_no_room_is_named_and_smaller_ones_still_come_in() -> None:
    filling = Filling(WITHHOLD, most_tokens=100)
    filling.add(Draft(kind="source", place="large", text="word " * 400))
    filling.add(Draft(kind="log", place="small", text="word"))
    assert [each.place for each in filling.pieces] == ["small"]
    assert [(each.kind, each.place) for each in filling.left_out] == [("source", "large")]
    assert filling.left_out[0].tokens > 100
    assert 0 < filling.tokens <= 100 < MOST_TOKENS


def test_a_text_is_cut_to_whole_lines_and_can_be_stored() -> None:
    filling = Filling(WITHHOLD)
    filling.add(Draft(kind="log", place="long", text="größe\n" * 4_000))
    filling.add(Draft(kind="load", place="odd", text="a\x00b\ud800"))
    long, odd = filling.pieces
    assert len(long.text.encode()) <= LARGEST_PIECE
    assert long.text.endswith("größe")
    assert odd.text == "a\ufffdb?"


def test_secrets_are_withheld_from_every_text_of_a_piece_and_of_what_is_left_out() -> None:
    secret = "configured-secret-9f31"
    settings = Settings.model_validate({"providers": {"glm": {"api_key": secret}}})
    filling = Filling(Withholding(settings), most_tokens=100)
    filling.add(Draft(kind="source", place=f"{secret}.py:1", text=secret, path=f"{secret}.py", commit=secret))
    filling.add(Draft(kind="log", place=f"log of {secret}", text="word " * 400))
    filling.leave_out("source", f"{secret}.py:1-2", f"The path {secret}.py is not in this commit.")
    assert len(filling.pieces) == 1
    assert len(filling.left_out) == 2
    shown = msgspec.json.encode([filling.pieces, filling.left_out]).decode()
    assert secret not in shown
    assert "is not in this commit" in shown
