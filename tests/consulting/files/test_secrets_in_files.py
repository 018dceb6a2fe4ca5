"""Secrets in files that a model is to be shown: replaced, refused or sent, as the setting and the caller say."""

import io
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import select

from exai.consulting.answer import AnswerReport
from exai.errors import FileRefused
from exai.files.faults import SecretFound
from exai.files.secrets.rules import Span
from exai.storage.database import Database
from exai.storage.schema import file_scans
from exai_emulator.personas import Persona
from exai_emulator.tool_calls import ScriptedCall
from support.consulted_files import Talk
from support.desks import Desk
from support.document_parts import docx_of

pytestmark = pytest.mark.sqlite

PAT = "ghp_" + (string.ascii_letters + string.digits)[:36]
AWS = "AKIA" + "ABCDEFGH23456723"
PEM = (
    "-----BEGIN EC PRIVATE KEY-----\n"
    + "\n".join("Ab3/" * 16 for _ in range(10))
    + "\n-----END EC PRIVATE KEY-----"
)
MakeTalk = Callable[..., Talk]


@pytest.fixture
def make(database: Database, tmp_path: Path, desk: Desk) -> MakeTalk:
    def talk(**settings: object) -> Talk:
        return Talk(database, tmp_path, desk, **settings)

    return talk


def sent(talk: Talk) -> str:
    """All that the providers were sent."""
    return "".join(str(request.body) for request in talk.desk.emulator.log.requests)


async def scans(database: Database) -> list[Any]:
    return await database.read(lambda connection: list(connection.execute(select(file_scans)).all()))


async def test_secrets_are_replaced_in_their_lines_by_path_and_by_handle(
    make: MakeTalk, tmp_path: Path, database: Database
) -> None:
    talk = make()
    content = f"a = 1\nkey = '{PAT}'  # old\n{PEM}\nend\n"
    (tmp_path / "a.py").write_text(content)
    handle = await talk.put("b.py", content.encode())
    document = await talk.put("c.docx", docx_of("one", f"the key is {AWS}."))
    answer = await talk.ask(str(tmp_path / "a.py"), handle, document)
    for secret in (PAT, AWS, "Ab3/Ab3/"):
        assert secret not in sent(talk)
    assert talk.text.count("   2│key = '«github-pat»'  # old\n") == 2
    assert talk.text.count("   3│«private-key»\n   4│«private-key»\n") == 2
    assert "   2│the key is «aws-access-key».\n" in talk.text
    assert talk.text.count("  15│end\n") == 2
    report = AnswerReport.of(answer)
    assert [each.secrets for each in report.material] == [
        ("2 github-pat", "3 private-key"),
        ("2 github-pat", "3 private-key"),
        ("2 aws-access-key",),
    ]
    (note,) = [note for note in answer.notes if "secrets" in note]
    assert note.startswith(
        "What looks like secrets were replaced before anything was sent: E1 line 2 (github-pat)"
    )
    rows = await scans(database)
    assert {row.verdict for row in rows} == {"found"}
    assert PAT not in str(rows)


async def test_a_content_is_looked_at_once(
    make: MakeTalk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = make()
    handle = await talk.put("a.txt", f"key {PAT}\n".encode())
    await talk.ask(handle)
    assert len(await scans(database)) == 1

    def again(_: bytes) -> list[Span]:
        raise AssertionError("it was looked at again")

    monkeypatch.setattr(talk.sources.secrets._scanner, "spans", again)
    assert "«github-pat»" in (await talk.ask(f"exai://files/{handle}/lines/1-1")).material.question


async def test_the_rest_of_a_large_file_is_read_without_its_secrets(make: MakeTalk) -> None:
    talk = make()
    lines = [f"line {number}" for number in range(1, 700_001)]
    lines[500_000] = f"key = {PAT}"
    pem = PEM.split("\n")
    lines[600_000 : 600_000 + len(pem)] = pem
    handle = await talk.put("big.txt", "\n".join(lines).encode())
    calls = (
        ScriptedCall("read_lines", {"file": "E1", "first": 500_001, "last": 500_001}),
        ScriptedCall("read_lines", {"file": "E1", "first": 600_004, "last": 600_006}),
        ScriptedCall("search_file", {"file": "E1", "pattern": "ghp_"}),
        ScriptedCall("search_file", {"file": "E1", "pattern": "Ab3/"}),
    )
    talk.desk.emulator.persona = Persona(rounds=(calls,))
    answer = await talk.ask(handle)
    assert "500001│key = «github-pat»" in answer.completion.text
    assert "600004│«private-key»" in answer.completion.text
    assert PAT not in sent(talk)
    assert "Ab3/Ab3/" not in sent(talk)


async def test_secrets_are_blocked_sent_or_not_looked_for_as_the_setting_says(
    make: MakeTalk, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text(f"x\nkey = '{PAT}'\n")
    path = str(tmp_path / "a.py")
    with pytest.raises(SecretFound, match=r"in line 2 \(github-pat\)") as caught:
        await make(secrets="block").ask(path)
    assert PAT not in str(caught.value)
    warned = await make(secrets="warn").ask(path)
    assert any("were sent as they are: E1 line 2 (github-pat)" in note for note in warned.notes)
    silent = make(secrets="off")
    assert (await silent.ask(path)).notes == ()
    assert PAT in silent.text


async def test_who_may_sends_secrets_on_purpose(make: MakeTalk, tmp_path: Path) -> None:
    talk = make()
    (tmp_path / "a.py").write_text(f"key = '{PAT}'\n")
    (tmp_path / ".env").write_text(f"KEY={AWS}\n")
    names = [str(tmp_path / "a.py"), str(tmp_path / ".env")]
    with pytest.raises(FileRefused, match="environment secrets"):
        await talk.ask(*names)
    answer = await talk.ask(*names, send_secrets=True)
    assert PAT in talk.text
    assert AWS in talk.text
    assert any("were sent as they are" in note for note in answer.notes)


async def test_a_picture_that_holds_a_secret_is_refused(make: MakeTalk, tmp_path: Path) -> None:
    talk = make()
    described = PngInfo()
    described.add_text("comment", f"token {PAT}")
    file = io.BytesIO()
    Picture.new("RGB", (8, 8)).save(file, "PNG", pnginfo=described)
    (tmp_path / "a.png").write_bytes(file.getvalue())
    with pytest.raises(SecretFound, match="github-pat, at byte"):
        await talk.ask(model="glm-4.6v", images=[str(tmp_path / "a.png")])
    await talk.ask(model="glm-4.6v", images=[str(tmp_path / "a.png")], send_secrets=True)


async def test_a_file_with_more_secrets_than_can_be_told_is_refused(make: MakeTalk, tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_text(f"{PAT}\n" * 600)
    with pytest.raises(SecretFound, match="599 more"):
        await make().ask(str(tmp_path / "dump.txt"))
