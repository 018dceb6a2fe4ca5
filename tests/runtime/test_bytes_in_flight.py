"""What is held at once is bounded by subject and in all, and nothing is counted that is not held."""

import pytest

from exai.runtime.bytes_in_flight import BytesInFlight


def test_what_a_subject_holds_alone_is_never_too_much() -> None:
    counts = BytesInFlight(100, 10, of_what="bytes")
    with counts.share("alice") as first:
        assert first.resize(1_000) is None
        with counts.share("alice") as second:
            assert "admission.caller_bytes" in str(second.resize(1))
            assert (second.size, counts.total) == (0, 1_000)
        with counts.share("bob") as other:
            assert "admission.global_bytes" in str(other.resize(1))
    assert counts.total == 0


def test_a_share_that_shrinks_makes_room_whatever_the_bound() -> None:
    counts = BytesInFlight(100, 10, of_what="bytes")
    with counts.share("alice") as first, counts.share("alice") as second:
        assert first.resize(6) is None
        assert second.resize(5) is not None
        assert first.resize(2) is None
        assert second.resize(5) is None


def test_what_is_left_by_an_error_is_counted_no_more() -> None:
    counts = BytesInFlight(100, 10, of_what="bytes")
    with pytest.raises(KeyError), counts.share("alice") as share:
        share.resize(5)
        raise KeyError
    assert counts.total == 0
