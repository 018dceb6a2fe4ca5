"""What clients are told, as values."""

import json

import pytest

from exai.cli.client_setup import CLIENTS, connect_entry, http_entry, merged, snippets, stdio_entry
from exai.errors import StartFault

CLAUDE, _, VSCODE = CLIENTS


def test_each_transport_has_a_snippet_of_valid_json() -> None:
    made = snippets("http://127.0.0.1:8079/mcp", "ws://127.0.0.1:8079/mcp", "/opt/exai/bin/exai")
    assert [snippet.transport for snippet in made] == ["stdio", "http", "websocket"]
    stdio, http, websocket = (json.loads(snippet.text)["mcpServers"]["exai"] for snippet in made)
    assert stdio == {"type": "stdio", "command": "/opt/exai/bin/exai", "args": ["stdio"]}
    assert http == {"type": "http", "url": "http://127.0.0.1:8079/mcp"}
    assert websocket["url"] == "ws://127.0.0.1:8079/mcp"


def test_a_new_file_holds_exai_alone_under_the_clients_own_key() -> None:
    entry = stdio_entry("exai")
    assert merged(None, CLAUDE, entry, place="f") == {"mcpServers": {"exai": entry}}
    assert merged("  \n", VSCODE, entry, place="f") == {"servers": {"exai": entry}}


def test_everything_else_in_a_file_stays_in_its_order() -> None:
    before = {"inputs": [1], "servers": {"z": {"command": "z"}, "exai": {"old": True}, "a": {}}, "more": None}
    after = merged(json.dumps(before), VSCODE, http_entry("http://h/mcp"), place="f")
    assert list(after) == ["inputs", "servers", "more"]
    assert list(after["servers"]) == ["z", "exai", "a"]
    assert after["servers"]["exai"] == {"type": "http", "url": "http://h/mcp"}
    assert after["servers"]["z"] == {"command": "z"}


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
        merged(text, VSCODE, {}, place="/p/.vscode/mcp.json")
    assert says in str(caught.value)
    assert "/p/.vscode/mcp.json" in str(caught.value)
    assert "nothing was written" in str(caught.value)


def test_snippets_name_a_token_and_hold_none() -> None:
    made = snippets("http://h/mcp", "ws://h/mcp", "exai", wants_token=True)
    stdio, http, websocket = (json.loads(snippet.text)["mcpServers"]["exai"] for snippet in made)
    assert stdio["env"] == {"EXAI_TOKEN": "${EXAI_TOKEN}"}
    assert http["headers"] == websocket["headers"] == {"Authorization": "Bearer ${EXAI_TOKEN}"}


def test_vscode_gets_the_input_of_its_entry_and_keeps_its_own() -> None:
    entry = connect_entry("exai", token=VSCODE.token)
    mine = {"type": "promptString", "id": "mine"}
    after = merged(json.dumps({"inputs": [mine], "servers": {}}), VSCODE, entry, place="f")
    assert [each["id"] for each in after["inputs"]] == ["mine", "exai-token"]
    assert after["inputs"][1]["password"] is True
    assert merged(json.dumps(after), VSCODE, entry, place="f") == after
    assert VSCODE.document(entry) == merged(None, VSCODE, entry, place="f")
    assert "inputs" not in merged("{}", VSCODE, connect_entry("exai"), place="f")
    with pytest.raises(StartFault, match=r"`inputs` in f .* nothing was written"):
        merged('{"inputs": {}}', VSCODE, entry, place="f")
