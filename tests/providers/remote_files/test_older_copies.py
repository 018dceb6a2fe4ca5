"""Dumps of older installations, in every form that they had."""

from datetime import UTC, datetime

import pytest

from exai.providers.remote_files.older_copies import OlderCopy, UnreadableRow, read_dump
from exai.storage.files.copy_rows import Method

A, B = "a" * 64, "b" * 64


def copies(text: str) -> list[OlderCopy]:
    return [row for row in read_dump(text.splitlines(keepends=True)) if isinstance(row, OlderCopy)]


def reasons(text: str) -> list[tuple[int, str]]:
    rows = read_dump(text.splitlines(keepends=True))
    return [(row.line, row.reason) for row in rows if isinstance(row, UnreadableRow)]


def test_csv_and_json_lines_say_the_same() -> None:
    heading = "id,provider,provider_file_id,sha256,file_size_bytes,upload_method,created_at,supabase_file_id"
    table = f"{heading}\n1,kimi,file_1,{A},12,supabase_gateway,2025-10-28T01:02:03+00:00,x\n"
    line = (
        f'{{"provider":"kimi","provider_file_id":"file_1","sha256":"{A}","file_size_bytes":12,'
        '"upload_method":"supabase_gateway","created_at":"2025-10-28T01:02:03+00:00"}'
    )
    expected = OlderCopy(
        2, "kimi", "file_1", A, None, Method.GATEWAY, 12, datetime(2025, 10, 28, 1, 2, 3, tzinfo=UTC)
    )
    assert copies(table) == [expected]
    (from_json,) = copies(line)
    assert (from_json.file_id, from_json.method, from_json.at) == ("file_1", Method.GATEWAY, expected.at)


@pytest.mark.parametrize(
    ("method", "stored", "expected"),
    [
        ("", "", Method.DIRECT),
        ("", "0b1c", Method.GATEWAY),
        ("NULL", "NULL", Method.DIRECT),
        ("direct", "0b1c", Method.DIRECT),
        ("supabase_gateway_presigned", "", Method.GATEWAY),
        ("nonsense", "", Method.DIRECT),
    ],
)
def test_a_method_that_is_missing_or_empty_follows_from_the_storage_id(
    method: str, stored: str, expected: Method
) -> None:
    heading = "provider,provider_file_id,sha256,upload_method,supabase_file_id"
    (copy,) = copies(f"{heading}\nkimi,file_1,{A},{method},{stored}\n")
    assert copy.method is expected


def test_a_table_from_before_the_column_has_no_method_at_all() -> None:
    (copy,) = copies(f"provider,provider_file_id,sha256\nglm,1730_ab,{A}\n")
    assert (copy.provider, copy.method, copy.bytes, copy.at) == ("glm", Method.DIRECT, 0, None)


def test_rows_that_cannot_be_taken_in_are_listed_by_line() -> None:
    table = (
        "provider,provider_file_id,sha256,upload_status,deleted_at\n"
        f"kimi,file_1,{A},completed,\n"
        "kimi,file_2,,completed,\n"
        f"kimi,../etc,{B},completed,\n"
        f"nobody,file_4,{B},completed,\n"
        f"kimi,file_5,{B},failed,\n"
        f"kimi,file_6,{B},completed,2025-11-02\n"
    )
    assert [copy.file_id for copy in copies(table)] == ["file_1"]
    assert [line for line, _ in reasons(table)] == [3, 4, 5, 6, 7]
    assert reasons(table)[0][1] == "no SHA-256, so the content of file_2 at kimi is not known"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of the kind\n",
        "[1, 2]\n",
        '{"a":\n',
        "{" * 5_000 + "\n",
        '{"provider":' + "[" * 100_000 + "\n",
    ],
)
def test_what_is_no_dump_has_one_reason_and_no_rows(text: str) -> None:
    assert copies(text) == []
    assert len(reasons(text)) == 1


def test_odd_values_do_no_harm() -> None:
    line = f'{{"provider":"kimi","provider_file_id":"file_1","checksum":"{A.upper()}","bytes":1e99,"created_at":[5]}}'
    (copy,) = copies(line)
    assert (copy.sha256, copy.bytes, copy.at) == (A, 0, None)
