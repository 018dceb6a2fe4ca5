"""What a call without a provider's key is told over stdio: how the client that started EXAI hands a key on.

Codex, Gemini CLI and the Inspector pass on none of their own variables but those that their configuration names, so a
key that the user has set in a shell does not arrive, and what EXAI writes to stderr is shown by none of them.
"""

import msgspec

from exai.callers import Caller
from exai.dispatch.failures import ERROR_KEY
from exai.errors import ProviderUnconfigured
from exai.tools.base import ToolAnswer

__all__ = ["advice_for", "explain_missing_keys"]

_BY_NAME = (
    (
        "codex",
        "Codex hands on the variables that ~/.codex/config.toml names: put "
        '`env_vars = ["KIMI_API_KEY"]` (or GLM_API_KEY) into [mcp_servers.exai] and restart Codex',
    ),
    (
        "gemini",
        'Gemini CLI hands on what its settings.json names: put `"env": {"KIMI_API_KEY": "$KIMI_API_KEY"}` '
        "(or GLM_API_KEY) into the entry of exai and restart Gemini CLI",
    ),
    (
        "inspector",
        "The Inspector hands on what is given to it: add KIMI_API_KEY or GLM_API_KEY under Environment Variables, "
        "or start it with `-e KIMI_API_KEY=...`, and connect again",
    ),
    (
        "claude-ai",
        "Claude Desktop hands on what its claude_desktop_config.json names: put the key into the `env` of the entry "
        "of exai and restart Claude Desktop",
    ),
    (
        "claude",
        'Claude Code hands on its own variables and what .mcp.json names: put `"env": {"KIMI_API_KEY": '
        '"${KIMI_API_KEY}"}` (or GLM_API_KEY) into the entry of exai, set the variable where Claude Code is started, '
        "and reconnect by /mcp",
    ),
    (
        "cursor",
        'Cursor hands on what .cursor/mcp.json names: put `"env": {"KIMI_API_KEY": "${env:KIMI_API_KEY}"}` (or '
        "GLM_API_KEY) into the entry of exai and switch the server off and on in its settings",
    ),
    (
        "visual studio code",
        'VS Code hands on what .vscode/mcp.json names: put `"env": {"KIMI_API_KEY": "${input:kimi-key}"}` (or '
        "GLM_API_KEY) with that input into it and restart the server from its list",
    ),
    (
        "opencode",
        'opencode hands on what opencode.json names: put `"environment": {"KIMI_API_KEY": "{env:KIMI_API_KEY}"}` (or '
        "GLM_API_KEY) into the entry of exai and restart opencode",
    ),
)
"""What to do, by a part of the name that a client gives itself in `initialize`; the first that fits counts."""

_ANY = (
    "Set KIMI_API_KEY or GLM_API_KEY among the environment variables in this client's entry for exai, and restart the "
    "server"
)
_EVERYWHERE = (
    "In every client it works to keep the key in a file that only you can read: "
    "~/.config/exai/secrets/providers.kimi.api_key (or providers.glm.api_key), mode 600"
)


def advice_for(client: str) -> str:
    """Say how a client of this name hands a key on to EXAI."""
    name = client.casefold()
    own = next((advice for part, advice in _BY_NAME if part in name), _ANY)
    return f"{own}. {_EVERYWHERE}; then restart the server."


def explain_missing_keys(answer: ToolAnswer, caller: Caller) -> ToolAnswer:
    """Add to the answer of a call that failed for want of a key what to do in the client that made it."""
    facts = (answer.meta or {}).get(ERROR_KEY)
    if facts is None or facts["code"] != ProviderUnconfigured.code:
        return answer
    advice = advice_for(caller.client or "")
    told = {**facts, "message": f"{facts['message']} {advice}"}
    return msgspec.structs.replace(
        answer, text=f"{answer.text} {advice}", meta={**(answer.meta or {}), ERROR_KEY: told}
    )
