"""Header fields of tus that are strange or hostile."""

import pytest

from exai.errors import BadArguments
from exai.transports.files.tus_headers import checksum_of, metadata_of, number_of

DIGEST = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMw=="


def test_keys_that_count_are_found_among_others() -> None:
    metadata = metadata_of(f"type dGV4dA==, filename YS50eHQ=,relativePath,sha256 {DIGEST}")
    assert (metadata.name, metadata.sha256) == ("a.txt", "0123456789" * 6 + "0123")
    assert metadata_of("name Yi50eHQ=").name == "b.txt"
    assert metadata_of(None) == metadata_of("")


@pytest.mark.parametrize(
    "value",
    [",", "a YQ==,", "a YQ==,a YQ==", " ", "a *", "a YQ", "ä YQ==", "a YQ==\n", "a YQ== YQ==", "sha256 YQ=="],
)
def test_metadata_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(BadArguments):
        metadata_of(value)


def test_a_name_that_is_no_text_is_replaced() -> None:
    assert metadata_of("filename //8=").name == "��"


@pytest.mark.parametrize("value", [None, "", "-1", "+1", "1.0", " 1", "x", "\u0661", "1" * 19, "0x1"])
def test_what_is_no_number_of_bytes_is_refused(value: str | None) -> None:
    with pytest.raises(BadArguments, match="Upload-Offset"):
        number_of("Upload-Offset", value)


def test_a_checksum_is_optional() -> None:
    assert checksum_of(None) is None
    with pytest.raises(BadArguments):
        checksum_of("")
