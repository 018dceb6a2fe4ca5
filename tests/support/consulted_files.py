"""Questions about files to the emulated providers, by the consultant that tools use."""

from pathlib import Path
from typing import Any

from exai import config
from exai.callers import Caller, Door
from exai.consulting.consultant import Consultant
from exai.consulting.consultation import Consultation
from exai.consulting.context import CallContext
from exai.consulting.files.gathering import FileSources
from exai.consulting.inquiry import Inquiry
from exai.conversations.conversations import Conversations
from exai.conversations.token_counts import TokenCounts
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.progress import SilentProgress
from exai.storage.conversations.calibrations import CalibrationTable
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from support.desks import Desk
from support.file_sources import file_sources
from support.scripted import asker, asking
from support.shelves import pieces

__all__ = ["ALICE", "Talk"]

ALICE = Caller("alice", Door.WEBSOCKET, scopes=frozenset({"tools:models", "files"}))


class Talk:
    """Questions to the emulated providers, with files."""

    def __init__(self, database: Database, folder: Path, desk: Desk, **settings: object) -> None:
        self.desk = desk
        remote = RemoteFiles(
            desk.router.file_hosts, CopyTables(database), desk.clock, config.Files(), request_s=5
        )
        self.sources: FileSources = file_sources(
            database,
            folder,
            folder,
            remote=None if settings.get("extract") == "local_only" else remote,
            **settings,
        )
        self._counts = TokenCounts(CalibrationTable(database), desk.clock, {})
        self._consultant = Consultant(
            router=desk.router,
            conversations=Conversations(ConversationTables(database), desk.clock, 50),
            files=self.sources,
            limits=config.Conversations(),
            tool_limits=config.ToolLoop(),
            counts=self._counts,
            clock=desk.clock,
        )

    async def put(self, name: str, content: bytes, owner: str = "alice") -> str:
        row = await self.sources.shelf.put(owner, name, len(content), pieces(content))
        return row.file_id

    async def ask(
        self,
        *names: str,
        model: str | None = "glm-5.3",
        caller: Caller = ALICE,
        question: str = "What is it?",
        **fields: Any,
    ) -> Consultation:
        ask = asker(asking(self.desk.router))
        inquiry = Inquiry(instructions="Answer.", question=question, model=model, file_paths=names, **fields)
        return await self._consultant.consult(inquiry, CallContext("call", caller, ask, SilentProgress()))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Of the latest request."""
        return list(self.desk.emulator.log.requests[-1].body["messages"])

    @property
    def text(self) -> str:
        """What the user's message says in the first request for the latest question."""
        content = next(each for each in reversed(self.messages) if each["role"] == "user")["content"]
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
