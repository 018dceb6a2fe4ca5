"""What `exai stdio` answers while its engine is being built: clients wait about a second for the list of tools.

    reading ──first line that only the engine can answer──► waiting ──┬─ the engine stands ──► the engine's reader
                                                                      └─ the start failed ───► failed

`initialize`, `ping` and `tools/list` are answered from `opening.json`, which `python -m checks.opening` writes from the
registry of tools: they depend on the version alone, unless settings choose another list of tools. Whatever else comes
waits in its pipe, in its order. The engine is given the handshake once more, since its own kernel has to know of it.

This module imports neither asyncio nor a library, since what it imports is what its client waits for.
"""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from exai.protocol.standard_streams import STDIN, take_stdout
from exai.runtime.version import __version__

__all__ = ["RECORDING", "Opening", "TakesLines"]

RECORDING = Path(__file__).with_name("opening.json")
"""What the engine answers to `initialize` and `tools/list`, and the revisions that begin with a handshake."""

LONGEST_LINE = 64 * 2**10
"""Bytes of a line that is looked at; a longer one is for the engine, which knows the limit that is set."""
LONGEST_CALL = 4 * 2**20
"""Bytes of a call that is told that the start failed."""
ENVELOPE_KEY = "io.modelcontextprotocol/protocolVersion"
"""In the `_meta` of requests of 2026-07-28, which are answered without a handshake: by the engine alone."""
INTERNAL_ERROR = -32603

Message = dict[str, Any]


class TakesLines(Protocol):
    """What goes on reading when the engine stands."""

    def read(self, lines: BinaryIO, begun: bytes) -> None:
        """Take `begun`, which may be a whole line, the beginning of one or the end of stdin, and all that follows."""


class Opening:
    """Answers the first requests of a client in a thread, and hands stdin over to the engine."""

    def __init__(self, lines: BinaryIO, stdout: int, *, lists_tools: bool = True) -> None:
        """Without `lists_tools`, the list of tools is the engine's to give."""
        self._lists_tools = lists_tools
        self.stdout = stdout
        """The descriptor for answers."""
        self._lines = lines
        self._recording: Mapping[str, Any] = json.loads(RECORDING.read_bytes())
        self._lock = threading.Lock()
        self._handshake: list[bytes] = []
        self._initialized = False
        self._has_heard = False
        self._is_over = False
        self._decided = threading.Event()
        self._reader: TakesLines | None = None
        self._sentence = ""
        self._thread = threading.Thread(target=self._run, name="stdin", daemon=True)

    @classmethod
    def begin(cls, *, lists_tools: bool = True) -> "Opening":
        """Keep stdout for the protocol, and answer from now on; without `lists_tools`, all but the list of tools."""
        # Not sys.stdin: at exit the interpreter would wait for its lock, which a blocked read holds.
        lines = open(STDIN, "rb", closefd=False)  # noqa: SIM115 - lives as long as the process
        opening = cls(lines, take_stdout(), lists_tools=lists_tools)
        opening._thread.start()
        return opening

    def end(self) -> tuple[bytes, ...]:
        """Answer nothing more; return the lines of the handshake that was answered, for the engine."""
        with self._lock:
            self._is_over = True
            return tuple(self._handshake)

    def go_on_with(self, reader: TakesLines) -> None:
        """Have `reader` take what comes and what has waited."""
        self._reader = reader
        self._decided.set()

    def fail(self, sentence: str) -> None:
        """Tell why the start failed to whoever calls a tool; return when one was told, or stdin has ended.

        A client that has not said anything yet learns it from the exit.
        """
        self.end()
        if not self._has_heard:
            return
        self._sentence = sentence
        self._decided.set()
        self._thread.join()

    def _run(self) -> None:
        begun = b""
        try:
            while begun := self._lines.readline(LONGEST_LINE):
                self._has_heard = True
                if begun.strip() and not self._is_answered(begun):
                    break
        except (OSError, ValueError):
            begun = b""  # the client is gone: the same as the end of stdin
        self._decided.wait()
        if self._reader is not None:
            self._reader.read(self._lines, begun)
        else:
            self._tell_failure(begun)

    def _is_answered(self, line: bytes) -> bool:
        with self._lock:
            message = None if self._is_over else _parsed(line)
            if message is None:
                return False
            if message.get("method") == "notifications/initialized" and self._initialized:
                self._handshake.append(line)
                return True
            if (result := self._result(message)) is None:
                return False
            if message["method"] == "initialize":
                self._initialized = True
                self._handshake.append(line)
            self._write({"jsonrpc": "2.0", "id": message["id"], "result": result})
            return True

    def _result(self, message: Message) -> Any:
        """Return what the engine would answer; `None` where only the engine knows."""
        params = message.get("params", {})
        request_id = message.get("id")
        if (
            not isinstance(params, dict)
            or isinstance(request_id, bool)
            or not isinstance(request_id, str | int)
        ):
            return None
        meta = params.get("_meta", {})
        if not isinstance(meta, dict) or ENVELOPE_KEY in meta:
            return None
        match message.get("method"):
            case "initialize" if not self._initialized:
                return self._initialize_result(params)
            case "ping":
                return {}
            case "tools/list" if self._lists_tools and self._initialized and params.get("cursor") is None:
                return self._recording["tools/list"]
        return None

    def _initialize_result(self, params: Message) -> Message | None:
        client, abilities = params.get("clientInfo"), params.get("capabilities")
        revision = params.get("protocolVersion")
        if not (isinstance(client, dict) and isinstance(abilities, dict) and isinstance(revision, str)):
            return None
        if not (isinstance(client.get("name"), str) and isinstance(client.get("version"), str)):
            return None
        if not all(isinstance(ability, dict) for ability in abilities.values()):
            return None
        revisions = self._recording["revisions"]
        result: Message = json.loads(json.dumps(self._recording["initialize"]))
        result["protocolVersion"] = revision if revision in revisions else revisions[-1]
        result["serverInfo"]["version"] = __version__
        return result

    def _tell_failure(self, line: bytes) -> None:
        try:
            while line:
                if not line.endswith(b"\n"):
                    line += self._lines.readline(LONGEST_CALL)
                if self._is_call_told(line):
                    return
                line = self._lines.readline(LONGEST_LINE)
        except (OSError, ValueError):
            return  # the client is gone

    def _is_call_told(self, line: bytes) -> bool:
        """Answer one message of a client whose engine does not come; return whether it was a call."""
        message = _parsed(line)
        if message is None or "method" not in message or message.get("id") is None:
            return False
        answer: Message = {"jsonrpc": "2.0", "id": message["id"]}
        is_call = bool(message["method"] == "tools/call")
        if is_call:
            answer["result"] = _failed_call(self._sentence)
        elif (result := self._result(message)) is not None:
            self._initialized = self._initialized or message["method"] == "initialize"
            answer["result"] = result
        else:
            answer["error"] = {"code": INTERNAL_ERROR, "message": self._sentence}
        self._write(answer)
        return is_call

    def _write(self, message: Message) -> None:
        left = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        while left:
            left = left[os.write(self.stdout, left) :]


def _parsed(line: bytes) -> Message | None:
    """Return the object of a whole line; `None` for anything else, which the engine refuses in its own words."""
    if not line.endswith(b"\n"):
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and message.get("jsonrpc") == "2.0" else None


def _failed_call(sentence: str) -> Message:
    facts = {"code": "cannot_start", "message": sentence, "retryable": False, "fixable_by": "operator"}
    text = f"EXAI could not start: {sentence}"
    return {"content": [{"type": "text", "text": text}], "isError": True, "_meta": {"exai/error": facts}}
