"""Where a client's token comes from: refreshed ahead, after a refusal, and by one process for all."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from exai.client import tokens as module
from exai.client.credentials_file import Credentials, read_credentials, write_credentials
from exai.client.refreshing import token_url
from exai.client.tokens import RETRY_REFUSED_S, NotAdmitted, TokenFile, client_tokens
from exai.errors import StartFault
from support.token_endpoint import TokenEndpoint, in_s, token_endpoint
from support.virtual_time import LoopClock, now


@pytest.fixture
async def endpoint() -> AsyncIterator[TokenEndpoint]:
    async with token_endpoint() as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "credentials.json"
    write_credentials(file, Credentials("a0", "r0", in_s(3600)))
    return file


async def test_a_good_token_is_taken_as_it_is(endpoint: TokenEndpoint, file: Path) -> None:
    assert await TokenFile(file, endpoint.url).token() == "a0"
    assert endpoint.asked == []


async def test_a_token_about_to_expire_is_refreshed_and_saved_before_use(
    endpoint: TokenEndpoint, file: Path
) -> None:
    write_credentials(file, Credentials("a0", "r0", in_s(-1)))
    tokens = TokenFile(file, endpoint.url)
    assert await tokens.token() == "a1"
    kept = read_credentials(file)
    assert (kept.access_token, kept.refresh_token) == ("a1", "r1")
    assert kept.expires_at == pytest.approx(in_s(3600), abs=30)
    assert await tokens.token() == "a1"
    assert endpoint.asked == ["r0"]


@pytest.mark.virtual_time
@pytest.mark.parametrize(("life_s", "good_s"), [(3_600, 3_540), (60, 45), (8, 6)])
async def test_when_a_token_is_due(endpoint: TokenEndpoint, file: Path, life_s: float, good_s: float) -> None:
    clock = LoopClock()
    write_credentials(file, Credentials("a0", "r0", clock.wall() + life_s))
    tokens = TokenFile(file, endpoint.url, clock)
    assert await tokens.token() == "a0"
    await asyncio.sleep(good_s - 0.01)
    assert await tokens.token() == "a0"
    await asyncio.sleep(0.01)
    assert await tokens.token() == "a1"
    assert read_credentials(file).expires_at == clock.wall() + endpoint.life_s


async def test_a_refused_token_is_refreshed_whatever_the_clock_says(
    endpoint: TokenEndpoint, file: Path
) -> None:
    tokens = TokenFile(file, endpoint.url)
    assert await tokens.refresh(await tokens.token()) == "a1"


async def test_a_token_that_somebody_else_put_there_is_taken_instead(
    endpoint: TokenEndpoint, file: Path
) -> None:
    tokens = TokenFile(file, endpoint.url)
    refused = await tokens.token()
    write_credentials(file, Credentials("mended"))
    assert await tokens.refresh(refused) == "mended"
    assert await tokens.refresh("mended") is None
    assert endpoint.asked == []


async def test_a_lost_answer_loses_nothing(endpoint: TokenEndpoint, file: Path) -> None:
    tokens = TokenFile(file, endpoint.url)
    endpoint.loses_answers = True
    with pytest.raises(OSError, match="no HTTP"):
        await tokens.refresh("a0")
    assert read_credentials(file).refresh_token == "r0"
    endpoint.loses_answers = False
    token = await tokens.refresh("a0")
    assert token == "a2"
    endpoint.use(token)
    assert await tokens.refresh(token) == "a3"


async def test_a_refresh_token_that_is_over_leaves_no_other_token(
    endpoint: TokenEndpoint, file: Path
) -> None:
    endpoint.revoked = True
    tokens = TokenFile(file, endpoint.url)
    assert await tokens.refresh("a0") is None
    assert f"exai token create NAME --save {file}" in tokens.advice


async def test_a_refresh_that_fails_is_not_tried_at_every_look(endpoint: TokenEndpoint, file: Path) -> None:
    write_credentials(file, Credentials("a0", "r0", in_s(-1)))
    endpoint.revoked = True
    tokens = TokenFile(file, endpoint.url)
    assert [await tokens.token() for _ in range(5)] == ["a0"] * 5
    assert endpoint.asked == ["r0"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 302 No\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-x\r\n",
    ],
)
async def test_what_refreshes_nothing_keeps_the_file_as_it_is(
    endpoint: TokenEndpoint, file: Path, answer: bytes
) -> None:
    before = read_credentials(file)
    endpoint.answers_with = answer
    with pytest.raises(OSError, match=r"token endpoint|no HTTP"):
        await TokenFile(file, endpoint.url).refresh("a0")
    assert read_credentials(file) == before


async def test_a_file_that_cannot_be_written_spends_no_token(
    endpoint: TokenEndpoint, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    tokens = TokenFile(file, endpoint.url)
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_credentials", full)
        with pytest.raises(NotAdmitted, match=rf"{file} cannot be written .no space left on device."):
            await tokens.refresh("a0")
    assert await tokens.refresh("a0") == "a2"


async def test_many_at_once_refresh_once(endpoint: TokenEndpoint, file: Path) -> None:
    several = [TokenFile(file, endpoint.url) for _ in range(8)]
    tokens = await asyncio.gather(*(each.refresh("a0") for each in several for _ in range(3)))
    assert set(tokens) == {"a1"}
    assert endpoint.asked == ["r0"]


PROCESS = """
import asyncio, sys
from pathlib import Path
from exai.client.tokens import TokenFile
print(asyncio.run(TokenFile(Path(sys.argv[1]), sys.argv[2]).refresh("a0")))
"""


async def test_several_processes_never_fight_over_one_file(endpoint: TokenEndpoint, file: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROCESS, str(file), endpoint.url, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    outputs = [(await process.communicate())[0] for process in processes]
    assert outputs == [b"a1\n"] * 4
    assert endpoint.asked == ["r0"]
    assert not endpoint.revoked


async def test_a_lock_that_is_never_let_go_is_waited_for_a_while(
    endpoint: TokenEndpoint, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_S", 0.2)
    with module._locked(file), pytest.raises(TimeoutError, match="lock"):
        await TokenFile(file, endpoint.url).refresh("a0")
    assert endpoint.asked == []


async def test_a_missing_or_exposed_file_is_a_sentence(endpoint: TokenEndpoint, file: Path) -> None:
    tokens = TokenFile(file, endpoint.url)
    file.chmod(0o644)  # noqa: ASYNC240 - a test may wait a moment
    with pytest.raises(NotAdmitted, match="chmod 600"):
        await tokens.token()
    file.unlink()  # noqa: ASYNC240
    with pytest.raises(NotAdmitted, match="exai token create"):
        await tokens.refresh("a0")


@pytest.mark.virtual_time
async def test_a_corrected_file_is_noticed(endpoint: TokenEndpoint, file: Path) -> None:
    tokens = TokenFile(file, endpoint.url, LoopClock())
    changes: tuple[Callable[[], None], ...] = (
        lambda: write_credentials(file, Credentials("b")),
        lambda: file.chmod(0o400),
        file.unlink,
    )
    for change in changes:
        began = now()
        waiting = asyncio.ensure_future(tokens.wait_for_change())
        await asyncio.sleep(10.5)
        assert not waiting.done()
        change()
        await waiting
        assert now() - began == 11, "it is looked for every second"


@pytest.mark.virtual_time
async def test_without_a_change_a_refused_token_is_tried_again_after_a_while(
    endpoint: TokenEndpoint, file: Path
) -> None:
    await TokenFile(file, endpoint.url, LoopClock()).wait_for_change()
    assert now() == RETRY_REFUSED_S


@pytest.mark.virtual_time
async def test_each_token_is_fetched_before_the_one_in_use_expires(
    endpoint: TokenEndpoint, file: Path
) -> None:
    clock = LoopClock()
    endpoint.life_s = 600
    write_credentials(file, Credentials("a0", "r0", clock.wall() + 600))
    tokens = TokenFile(file, endpoint.url, clock)
    moments = []
    for number in range(5):
        token = f"a{number}"
        assert await tokens.token() == token
        if number > 0:
            endpoint.use(token)
        await tokens.wait_until_due(token)
        moments.append(now())
    assert moments == [540 * number for number in range(1, 6)]


def test_where_tokens_are_refreshed() -> None:
    assert token_url("ws://127.0.0.1:8079/mcp") == "http://127.0.0.1:8079/auth/token"
    assert token_url("ws://[::1]:8079") == "http://[::1]:8079/auth/token"
    assert token_url("wss://h.example/exai/mcp/") == "https://h.example/exai/auth/token"


async def test_a_token_has_precedence_over_a_file_and_a_malformed_one_is_refused(file: Path) -> None:
    assert await client_tokens("ws://h/mcp", token=" t ", file=file).token() == "t"
    assert await client_tokens("ws://h/mcp", token=None, file=file).token() == "a0"
    assert await client_tokens("ws://h/mcp", token=None, file=None).token() is None
    with pytest.raises(StartFault, match="EXAI_TOKEN"):
        client_tokens("ws://h/mcp", token="a b", file=None)
    for url in ("ws://[", "http://[::1", "ws://h:99999/mcp", "ws://h:port/mcp", "localhost", "ws:///mcp", ""):
        with pytest.raises(StartFault, match=r"write it as ws://host:port/mcp"):
            client_tokens(url, token=None, file=None)
