"""What is written into the files of clients, as texts."""

import json
import tomllib
from pathlib import Path

import pytest

from exai.cli.setup.clients import CLIENTS, Client, ClientName
from exai.cli.setup.documents import with_entry
from exai.cli.setup.entries import masked, merged_entry
from exai.cli.setup.server import Address, JsonObject, Process, Server, is_ephemeral
from exai.cli.setup.snippets import snippets
from exai.errors import StartFault

BY_NAME = {client.name: client for client in CLIENTS}
VSCODE, CODEX = BY_NAME[ClientName.VSCODE], BY_NAME[ClientName.CODEX]
PROCESS = Process("/opt/exai", ("stdio",))
ENTRY = CODEX.entry(PROCESS, 900)


def written(text: str | None, client: Client, entry: JsonObject) -> str:
    return with_entry(text, client, entry, place="f").text


def test_each_way_to_a_running_daemon_has_a_snippet_of_valid_json() -> None:
    made = snippets("http://127.0.0.1:9/mcp", "ws://127.0.0.1:9/mcp", "/opt/exai/bin/exai")
    assert [snippet.transport for snippet in made] == ["connect", "http", "websocket"]
    connect, http, websocket = (json.loads(snippet.text)["mcpServers"]["exai"] for snippet in made)
    assert connect == {
        "type": "stdio",
        "command": "/opt/exai/bin/exai",
        "args": ["connect", "ws://127.0.0.1:9/mcp"],
    }
    assert http == {"type": "http", "url": "http://127.0.0.1:9/mcp"}
    assert websocket["url"] == "ws://127.0.0.1:9/mcp"


def test_snippets_name_a_token_and_hold_none() -> None:
    made = snippets("http://h/mcp", "ws://h/mcp", "exai", wants_token=True)
    connect, http, websocket = (json.loads(snippet.text)["mcpServers"]["exai"] for snippet in made)
    assert connect["env"] == {"EXAI_TOKEN": "${EXAI_TOKEN}"}
    assert http["headers"] == websocket["headers"] == {"Authorization": "Bearer ${EXAI_TOKEN}"}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_new_file_holds_exai_alone_and_a_second_time_nothing_changes(client: Client) -> None:
    servers: list[Server] = [Process("/opt/exai", ("stdio",), {"GLM_API_KEY": "reference"})]
    if client.takes_address:
        servers.append(Address("http://h/mcp", "reference"))
    for server in servers:
        text = written(None, client, client.entry(server, 900))
        document = tomllib.loads(text) if client.form == "toml" else json.loads(text)
        assert set(document[client.servers_key]) == {"exai"}
        assert not with_entry(text, client, client.entry(server, 900), place="f").changes
        assert "/opt/exai" in text or "http://h/mcp" in text


@pytest.mark.parametrize(
    ("name", "process", "address"),
    [
        ("codex", {"command", "args", "env_vars", "tool_timeout_sec"}, {"url", "bearer_token_env_var"}),
        ("gemini", {"command", "args", "env", "timeout"}, {"httpUrl", "headers"}),
        ("opencode", {"type", "command", "environment", "timeout"}, {"type", "url", "headers"}),
        ("windsurf", {"command", "args", "env"}, {"serverUrl", "headers"}),
        ("cline", {"command", "args", "env", "timeout"}, {"type", "url", "headers"}),
    ],
)
def test_each_client_is_told_in_its_own_words(name: str, process: set[str], address: set[str]) -> None:
    client = BY_NAME[ClientName(name)]
    assert set(client.entry(Process("e", (), {"A": "b"}), 900)) == process
    assert address <= set(client.entry(Address("http://h/mcp", "t"), 900))


def test_a_call_may_take_as_long_as_exai_lets_it() -> None:
    limits = {
        client.name: client.entry(PROCESS, 7200).get(client.time_limit[0])
        for client in CLIENTS
        if client.time_limit is not None
    }
    assert limits == {
        "claude-code": 7_200_000,
        "codex": 7200,
        "gemini": 7_200_000,
        "opencode": 7_200_000,
        "cline": 3600,
    }


def test_everything_else_in_a_file_stays_in_its_order() -> None:
    before = {"inputs": [1], "servers": {"z": {"command": "z"}, "exai": {"old": True}, "a": {}}, "more": None}
    after = json.loads(written(json.dumps(before), VSCODE, VSCODE.entry(Address("http://h/mcp"), 900)))
    assert list(after) == ["inputs", "servers", "more"]
    assert list(after["servers"]) == ["z", "exai", "a"]
    assert after["servers"]["exai"] == {"old": True, "type": "http", "url": "http://h/mcp"}
    assert after["servers"]["z"] == {"command": "z"}


def test_an_entry_changes_its_way_and_keeps_the_rest() -> None:
    before = {
        "type": "stdio",
        "command": "x",
        "args": [],
        "env": {"A": "mine"},
        "timeout": 5,
        "disabled": True,
    }
    entry: JsonObject = {"type": "http", "url": "u", "timeout": 900, "env": {"A": "theirs", "B": "b"}}
    assert merged_entry(before, entry) == {
        "type": "http",
        "env": {"A": "mine", "B": "b"},
        "timeout": 5,
        "disabled": True,
        "url": "u",
    }


def test_what_may_be_a_secret_is_not_shown() -> None:
    shown = masked(
        {
            "env": {"KEY": "canary", "SAME": "${SAME:-}", "LEVEL": "3"},
            "headers": {"Authorization": "Bearer canary", "X": "Bearer ${EXAI_TOKEN}"},
            "args": ["--set", "providers.glm.api_key=canary", "--set", "server.port=1"],
        }
    )
    assert "canary" not in str(shown)
    assert shown["env"] == {"KEY": "…", "SAME": "${SAME:-}", "LEVEL": "3"}
    assert shown["args"] == ["--set", "providers.glm.api_key=…", "--set", "server.port=1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{\n  // mine\n  "servers": {}\n}', "line 2"),
        ('{"servers": {},}', "trailing commas"),
        ("[]", "JSON object"),
        ('{"servers": []}', "`servers`"),
        ('{"servers": null}', "`servers`"),
    ],
)
def test_a_file_that_cannot_be_kept_whole_is_refused(text: str, says: str) -> None:
    with pytest.raises(StartFault) as caught:
        with_entry(text, VSCODE, {}, place="/p/.vscode/mcp.json")
    assert says in str(caught.value)
    assert "/p/.vscode/mcp.json" in str(caught.value)
    assert "nothing was written" in str(caught.value)


def test_vscode_gets_the_input_of_its_entry_and_keeps_its_own() -> None:
    assert VSCODE.token is not None
    entry = VSCODE.entry(Process("exai", ("connect",), {"EXAI_TOKEN": VSCODE.token}), 900)
    mine = {"type": "promptString", "id": "mine"}
    after = written(json.dumps({"inputs": [mine], "servers": {}}), VSCODE, entry)
    inputs = json.loads(after)["inputs"]
    assert [each["id"] for each in inputs] == ["mine", "exai-token"]
    assert inputs[1]["password"] is True
    assert not with_entry(after, VSCODE, entry, place="f").changes
    assert "inputs" not in written("{}", VSCODE, VSCODE.entry(PROCESS, 900))
    with pytest.raises(StartFault, match=r"`inputs` in f .* nothing was written"):
        with_entry('{"inputs": {}}', VSCODE, entry, place="f")


TOML = """# mine
model = "gpt"   # the good one

[mcp_servers.other]
args = [
  "x",  # [why]
]

[mcp_servers."exai"]
command = "old"
startup_timeout_sec = 5
args = ["old"]
[mcp_servers.exai.env]
A = "mine"

[tui]
theme = "x"
"""


def test_toml_is_changed_by_the_line_and_keeps_its_comments() -> None:
    after = written(TOML, CODEX, ENTRY)
    document = tomllib.loads(after)
    assert document["mcp_servers"]["exai"] == {**ENTRY, "startup_timeout_sec": 5, "env": {"A": "mine"}}
    kept = [line for line in TOML.splitlines() if "old" not in line]
    assert [line for line in after.splitlines() if line in kept] == kept
    assert len(after.splitlines()) == len(TOML.splitlines()) + 1


def test_a_table_is_added_behind_everything_else() -> None:
    before = 'a = 1\n[t]\nb = "c"'
    assert written(before, CODEX, ENTRY).startswith(f"{before}\n\n[mcp_servers.exai]\n")


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = { exai = { command = "x" } }',
        'mcp_servers = { other = { command = "x" } }',
        '[mcp_servers]\nexai = { command = "x" }',
        '[mcp_servers.exai]\ncommand = "x"\nargs = [\n  "a",\n]',
        "a = ",
    ],
)
def test_toml_that_is_not_line_by_line_is_left_alone(text: str) -> None:
    with pytest.raises(StartFault, match="nothing was written"):
        with_entry(text, CODEX, ENTRY, place="f")


def test_a_command_in_the_cache_of_uv_is_seen() -> None:
    assert is_ephemeral(str(Path("/home/a/.cache/uv/archive-v0/xyz/bin/exai")))
    assert not is_ephemeral(str(Path("/home/a/.local/share/uv/tools/exai/bin/exai")))
