"""Which pieces a prompt shows, and in which order."""

from random import Random

from exai.evidence.packing import COVERED, NO_ROOM, Packed, Packer
from exai.evidence.pieces import CHANGE, Piece


def piece(path: str, first: int, last: int, tokens: int, source: str = "file") -> Piece:
    return Piece(
        source=source, path=path, first=first, last=last, sha256=path, text="", why="", tokens=tokens
    )


def places(packed: Packed) -> list[tuple[str, int]]:
    return [(each.path, each.first) for each in packed.shown]


def test_what_matters_most_is_shown_and_the_rest_is_listed() -> None:
    pieces = [piece("b", 1, 9, 60), piece("a", 1, 9, 30), piece("c", 1, 9, 30)]
    packed = Packer(share=1).pack(pieces, 100)
    assert places(packed) == [("a", 1), ("b", 1)]
    assert [(each.piece.path, each.why) for each in packed.left_out] == [("c", NO_ROOM)]
    assert packed.tokens == 90


def test_the_change_comes_behind_everything_else() -> None:
    pieces = [piece("a", 1, 5, 10, CHANGE), piece("z", 1, 5, 10), piece("b", 9, 10, 10), piece("b", 1, 2, 10)]
    assert places(Packer().pack(pieces, 100)) == [("b", 1), ("b", 9), ("z", 1), ("a", 1)]


def test_one_file_takes_no_more_than_its_share_while_others_need_it() -> None:
    pieces = [piece("a", n, n, 30) for n in range(1, 5)] + [piece("b", 1, 1, 30)]
    assert places(Packer(share=1 / 3).pack(pieces, 90)) == [("a", 1), ("a", 2), ("b", 1)]


def test_a_share_that_nobody_else_needs_is_used() -> None:
    pieces = [piece("a", n, n, 30) for n in range(1, 4)]
    assert len(Packer(share=1 / 3).pack(pieces, 90).shown) == 3


def test_each_file_of_the_change_has_a_hunk_before_any_has_a_second() -> None:
    pieces = [piece("a", n, n, 40, CHANGE) for n in range(1, 4)] + [piece("b", 1, 1, 40, CHANGE)]
    assert places(Packer().pack(pieces, 80)) == [("a", 1), ("b", 1)]


def test_a_hunk_that_is_too_large_is_replaced_by_a_smaller_one_of_its_file() -> None:
    pieces = [piece("a", 1, 90, 500, CHANGE), piece("a", 95, 96, 20, CHANGE)]
    packed = Packer().pack(pieces, 100)
    assert places(packed) == [("a", 95)]
    assert [each.piece.first for each in packed.left_out] == [1]


def test_lines_are_not_shown_twice() -> None:
    pieces = [piece("a", 1, 50, 40), piece("a", 10, 20, 10), piece("a", 1, 50, 40)]
    packed = Packer(share=1).pack(pieces, 1_000)
    assert places(packed) == [("a", 1)]
    assert [(each.piece.first, each.why) for each in packed.left_out] == [(10, COVERED)]


def test_lines_that_a_later_piece_has_too_give_their_room_back() -> None:
    pieces = [piece("a", 10, 20, 40), piece("a", 1, 50, 60), piece("b", 1, 1, 40)]
    packed = Packer(share=1).pack(pieces, 100)
    assert places(packed) == [("a", 1), ("b", 1)]
    assert [each.why for each in packed.left_out] == [COVERED]


def test_nothing_fits_into_no_room() -> None:
    packed = Packer().pack([piece("a", 1, 2, 1)], 0)
    assert packed.shown == ()
    assert len(packed.left_out) == 1


def drawn(random: Random) -> Piece:
    source = random.choice(["file", CHANGE])
    return piece(
        random.choice("abc"), random.randint(1, 9), random.randint(9, 20), random.randint(1, 50), source
    )


def test_every_piece_is_shown_or_listed_and_the_room_holds() -> None:
    for seed in range(200):
        random = Random(seed)
        pieces = [drawn(random) for _ in range(random.randint(0, 20))]
        room = random.randint(0, 300)
        packed = Packer().pack(pieces, room)
        assert packed.tokens <= room
        assert {*packed.shown, *(each.piece for each in packed.left_out)} == set(pieces)
        assert len(packed.shown) + len(packed.left_out) == len(set(pieces))
        assert Packer().pack(pieces, room) == packed
        for left in packed.left_out:
            assert left.why == COVERED or left.piece.tokens > room - packed.tokens
