"""`exai files send`, `check` and `import`: copies at providers from the terminal."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai_emulator import Emulator, EmulatorOptions, Fault, running
from support.daemons import free_port

TEXT = b"a line\n" * 500


@dataclass(frozen=True)
class Files:
    """The commands, on one store and an emulator."""

    emulator: Emulator
    options: tuple[str, ...]

    async def run(self, *arguments: str, answers: str = "") -> Result:
        command = ["files", *arguments, *self.options]
        return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), command, input=answers))

    async def json(self, *arguments: str, code: int = 0) -> Any:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    async def put(self, path: Path, content: bytes) -> str:
        path.write_bytes(content)  # noqa: ASYNC240 - a test may wait a moment
        file_id: str = (await self.json("put", str(path)))["files"][0]["id"]
        return file_id

    def there(self, provider: str = "kimi") -> list[str]:
        return [file.id for file in self.emulator.accounts[provider].files]


@pytest.fixture
async def files(data_dir: Path) -> AsyncIterator[Files]:
    async with running(EmulatorOptions()) as emulator:
        there = emulator.addresses
        settings = (
            f"server.port={free_port()}",
            "files.keep_free_bytes=0",
            f"providers.kimi.base_url={there.kimi}",
            f"providers.kimi.api_key={there.kimi_key}",
            f"providers.glm.base_url={there.glm}",
            f"providers.glm.api_key={there.glm_key}",
        )
        yield Files(emulator, tuple(word for each in settings for word in ("--set", each)))


async def test_a_file_is_sent_once_and_a_clean_store_has_no_differences(files: Files, tmp_path: Path) -> None:
    file_id = await files.put(tmp_path / "a.txt", TEXT)
    sent = await files.json("send", file_id, "--to", "kimi")
    assert (sent["sent"], sent["id"]) == (True, files.there()[0])
    again = await files.run("send", f"exai://files/{file_id}", "--to", "kimi")
    assert "is there already" in again.stdout
    assert len(files.there()) == 1
    shown = await files.json("show", file_id)
    assert [(copy["provider"], copy["status"]) for copy in shown["copies"]] == [("kimi", "ready")]
    described = (await files.run("show", file_id)).stdout
    assert f"{shown['copies'][0]['copy']} at kimi for file-extract: sent " in described
    assert "{" not in described
    report = await files.json("check")
    assert (report["store"]["contents"], report["store"]["differences"]) == (1, 0)
    assert {name: part["differences"] for name, part in report["providers"].items()} == {"kimi": 0, "glm": 0}
    assert report["providers"]["kimi"]["found"] == 1


async def test_what_holds_a_secret_is_not_sent_unless_it_is_to_be(files: Files, tmp_path: Path) -> None:
    forge = b"token = 'ghp_" + b"aB3" * 12 + b"'\n" + TEXT
    ids = [await files.put(tmp_path / "a.md", forge), await files.put(tmp_path / ".env", b"KEY=1\n" + TEXT)]
    for file_id, why in zip(ids, ("looks like a secret", "looks as if it held"), strict=True):
        refused = await files.run("send", file_id, "--to", "kimi")
        assert (refused.exit_code, why in refused.stderr) == (1, True), refused.output
        assert "`--send-secrets`" in refused.stderr
        assert "aB3" not in refused.output
    assert files.there() == []
    sent = await files.json("send", ids[0], "--to", "kimi", "--send-secrets")
    assert files.there() == [sent["id"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "kimi", "--purpose", "nonsense"), "keeps no files for the purpose"),
        (("--to", "glm"), "takes no txt file"),
        (("--to", "nobody"), "keeps no files; these do"),
    ],
)
async def test_what_cannot_be_sent_is_said(
    files: Files, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    file_id = await files.put(tmp_path / "a.txt", TEXT)
    refused = await files.run("send", file_id, *arguments)
    assert (refused.exit_code, words in refused.stderr) == (1, True), refused.stderr
    empty = await files.run("send", await files.put(tmp_path / "empty.txt", b""), "--to", "kimi")
    assert (empty.exit_code, "takes no empty ones" in empty.stderr) == (1, True), empty.stderr
    unknown = await files.run("send", "file_none", "--to", "kimi")
    assert unknown.exit_code == 1
    assert "no file with this id" in unknown.stderr


async def test_every_difference_is_found_and_repaired_by_choice(
    files: Files, tmp_path: Path, data_dir: Path
) -> None:
    ids = [await files.put(tmp_path / f"{number}.txt", TEXT + bytes([65 + number])) for number in range(4)]
    await files.json("send", ids[0], "--to", "kimi")
    (copy,) = files.there()
    files.emulator.accounts["kimi"].files.remove(copy)
    files.emulator.place_file("kimi", "exai-0123456789abcdef-copy_lost.txt", "file-extract", b"left behind")
    files.emulator.place_file("kimi", "somebody.txt", "file-extract", b"not ours")
    blobs = {file.name: file for file in (data_dir / "files" / "blobs").rglob("*") if file.is_file()}
    by_id = [hashlib.sha256(TEXT + bytes([65 + number])).hexdigest() for number in range(4)]
    blobs[by_id[1]].unlink()
    blobs[by_id[2]].write_bytes(b"x" * len(TEXT) + b"y")
    stray = hashlib.sha256(b"stray").hexdigest()
    place = data_dir / "files" / "blobs" / stray[:2] / stray[2:4]
    place.mkdir(parents=True)
    (place / stray).write_bytes(b"stray")
    report = await files.json("check", code=1)
    assert report["store"]["missing"] == [by_id[1]]
    assert report["store"]["damaged"] == [by_id[2]]
    assert report["store"]["unknown"] == [stray]
    kimi = report["providers"]["kimi"]
    assert (len(kimi["missing"]), len(kimi["unknown"]), kimi["others"]) == (1, 1, 1)
    declined = await files.run("check", "--mend", answers="n\nn\nn\nn\n")
    assert declined.exit_code == 1
    assert "unknown: 1" in declined.stdout
    assert (await files.json("check", code=1))["store"]["damaged"] == [by_id[2]]
    done = await files.json("check", "--mend", "--yes", code=1)
    assert [each["count"] for each in done["repaired"]] == [2, 1, 1, 1]
    after = await files.json("check", code=1)
    assert after["store"]["unknown"] == []
    assert after["providers"]["kimi"]["differences"] == 0
    assert after["providers"]["kimi"]["waiting"] == 1
    for number in (1, 2):
        await files.put(tmp_path / f"{number}.txt", TEXT + bytes([65 + number]))
    assert (await files.json("check"))["store"]["differences"] == 0


async def test_a_provider_that_cannot_be_asked_is_a_difference(files: Files) -> None:
    files.emulator.faults.add("kimi", Fault(path="/files", error="server_error"))
    report = await files.json("check", "--copies", code=1)
    assert report["providers"]["kimi"]["error"] == "provider_failed"
    assert "store" not in report


async def test_an_older_installations_rows_are_taken_in_and_asked_for(files: Files, tmp_path: Path) -> None:
    file_id = await files.put(tmp_path / "a.txt", TEXT)
    digest = hashlib.sha256(TEXT).hexdigest()
    placed = files.emulator.place_file("kimi", "a.txt", "file-extract", TEXT)
    rows = [
        {
            "id": 1,
            "provider": "Moonshot",
            "provider_file_id": placed.id,
            "sha256": digest,
            "file_size_bytes": 3500,
        },
        {
            "id": 2,
            "provider": "kimi",
            "provider_file_id": "file_gone",
            "sha256": "a" * 64,
            "supabase_file_id": "x",
        },
        {"id": 3, "provider": "glm", "provider_file_id": "file_x", "sha256": None},
        {"id": 4, "provider": "other", "provider_file_id": "file_y", "sha256": "b" * 64},
    ]
    dump = tmp_path / "dump.jsonl"
    dump.write_text("\n".join(json.dumps(row) for row in rows) + "\nnot json\n")
    report = await files.json("import", str(dump), code=1)
    assert (report["imported"], report["known"]) == (2, 0)
    assert [row["line"] for row in report["refused"]] == [3, 4, 5]
    assert (await files.json("import", str(dump), code=1))["known"] == 2
    (copy,) = (await files.json("show", file_id))["copies"]
    assert (copy["status"], copy["method"]) == ("unverified", "direct")
    sent = await files.json("send", file_id, "--to", "kimi")
    assert (sent["id"], sent["sent"]) == (placed.id, False)
    found = await files.json("check", "--copies", code=1)
    assert len(found["providers"]["kimi"]["missing"]) == 1


async def test_a_dump_that_cannot_be_read_is_said(files: Files, tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("provider,provider_file_id\nkimi,\xe9".encode("latin-1"))
    for dump in ("missing.csv", "latin.csv"):
        refused = await files.run("import", str(tmp_path / dump))
        assert refused.exit_code != 0
        assert isinstance(refused.exception, Exception)


async def test_without_keys_nothing_is_taken_in_and_the_store_is_checked(
    data_dir: Path, tmp_path: Path
) -> None:
    async with running(EmulatorOptions()) as emulator:
        files = Files(emulator, ("--set", f"server.port={free_port()}", "--set", "files.keep_free_bytes=0"))
        dump = tmp_path / "dump.csv"
        dump.write_text(f"provider,provider_file_id,sha256,upload_method\nkimi,file_1,{'a' * 64},\n")
        report = await files.json("import", str(dump), code=1)
        assert "no key is set for kimi" in report["refused"][0]["reason"]
        assert (await files.json("check"))["providers"] == {}


async def test_the_proof_of_a_file_tells_where_its_content_was_and_how_it_went(
    files: Files, tmp_path: Path
) -> None:
    file_id = await files.put(tmp_path / "a.txt", TEXT)
    kept = await files.run("proof", file_id)
    assert kept.exit_code == 0, kept.stderr
    assert kept.stdout.splitlines()[0] == f"{file_id}  sha256 {hashlib.sha256(TEXT).hexdigest()}"
    assert "removed  no" in kept.stdout
    assert "none was ever sent" in kept.stdout
    await files.json("send", file_id, "--to", "kimi")
    other = await files.put(tmp_path / "b.txt", TEXT)
    assert (await files.run("rm", file_id)).exit_code == 0
    proof = await files.json("proof", file_id)
    (copy,) = proof["copies"]
    assert (proof["sha256"], proof["still_needed"]) == (hashlib.sha256(TEXT).hexdigest(), True)
    assert copy["provider"] == "kimi"
    told = (await files.run("proof", file_id)).stdout
    assert "removed  20" in told
    assert "another file of the same owner has the content" in told
    assert " at kimi for " in told
    assert (await files.run("proof", other)).exit_code == 0
    unknown = await files.run("proof", "file_" + "0" * 32)
    assert unknown.exit_code == 1
    assert unknown.stdout == ""
