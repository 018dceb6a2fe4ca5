"""A daemon that has just started has imported nothing that it does not use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exai.storage.database_file import FILE_NAME
from support.daemons import clean_environ
from support.migrated_databases import migrated_sqlite

PROGRAM = """
import gc, json, os, signal, sys
from exai.cli.command_group import load_command

enabled = gc.isenabled()
load_command("serve")
from exai.cli.commands import serve

run_daemon = serve.run_daemon

def watched(settings, *, demo, on_ready, **further):
    def ready(addresses, services):
        import mcp_types
        loaded = sorted(sys.modules)
        request = {"method": "tools/call", "params": {"name": "chat", "arguments": {"prompt": "hello"}}}
        name = mcp_types.CallToolRequest.model_validate(request).params.name
        kind = type(mcp_types.client_request_adapter.validate_python(request)).__name__
        from mcp import ClientSession
        from mcp.server import MCPServer
        import mcp.types
        import rich
        found = [ClientSession.__module__, MCPServer.__name__, mcp.types.CallToolRequest.__name__, rich.__name__]
        collects = gc.isenabled() == enabled
        print(json.dumps({"loaded": loaded, "name": name, "kind": kind, "found": found, "collects": collects}))
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGTERM)
    return run_daemon(settings, demo=demo, on_ready=ready, **further)

serve.run_daemon = watched
sys.argv = ["exai", "serve"]
from exai.cli import main
main()
"""

ABSENT = {
    "another database": ("asyncpg", "sqlalchemy.ext.asyncio", "sqlalchemy.dialects.postgresql"),
    "mapping of objects": ("sqlalchemy.orm",),
    "migrations": ("alembic", "mako"),
    "pairs of keys": ("cryptography", "exai.auth.keys", "exai.auth.jwks"),
    "webhooks": ("exai.monitoring.notification.webhook",),
    "clients": ("mcp.client", "httpx2", "exai.client"),
    "another server": ("mcp.server.mcpserver",),
    "pretty printing": ("rich", "pygments"),
    "jobs": ("dbos",),
    "workspaces": ("tree_sitter", "dulwich", "unidiff"),
    "file stores": ("obstore",),
    "pictures": ("PIL.Image",),
    "the demonstration": ("exai_emulator",),
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a daemon says of itself when it is ready, in a Python of its own."""
    data_dir = tmp_path_factory.mktemp("started") / "data"
    data_dir.mkdir(mode=0o700)
    migrated_sqlite(data_dir / FILE_NAME)
    environ = clean_environ(Path(data_dir), {"EXAI_PROVIDERS__GLM__API_KEY": "abc.defghijklmnop"})
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, env=environ, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr.decode()
    said: dict[str, object] = json.loads(ended.stdout)
    return said


@pytest.mark.parametrize("use", ABSENT)
def test_what_a_fresh_daemon_does_not_use_is_not_imported(started: dict[str, object], use: str) -> None:
    loaded = started["loaded"]
    assert isinstance(loaded, list)
    assert set(ABSENT[use]).intersection(loaded) == set()


def test_what_was_left_out_is_there_for_whoever_asks(started: dict[str, object]) -> None:
    assert started["found"] == ["mcp.client.session", "MCPServer", "CallToolRequest", "rich"]


def test_deferred_validators_are_built_when_they_are_used(started: dict[str, object]) -> None:
    assert (started["name"], started["kind"]) == ("chat", "CallToolRequest")


def test_the_collector_works_again_after_the_imports(started: dict[str, object]) -> None:
    assert started["collects"] is True
