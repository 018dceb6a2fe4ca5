"""The emulator as its owner sees it: where it listens, what it was asked, and what can be changed."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from exai_emulator.accounts import Accounts
from exai_emulator.clock import EmulatedClock
from exai_emulator.custom.api import CustomApi
from exai_emulator.custom.dialects import DIALECTS
from exai_emulator.custom.rules import BEHAVIOURS as CUSTOM_BEHAVIOURS
from exai_emulator.custom.rules import RULES as CUSTOM_RULES
from exai_emulator.documents.extraction import Extract
from exai_emulator.documents.kinds import kind_of
from exai_emulator.faults import FaultQueue
from exai_emulator.files import StoredFile
from exai_emulator.glm.api import GlmApi
from exai_emulator.glm.closed import BEHAVIOURS as GLM_CLOSED_BEHAVIOURS
from exai_emulator.glm.files import BEHAVIOURS as GLM_FILE_BEHAVIOURS
from exai_emulator.glm.files import RULES as GLM_FILE_RULES
from exai_emulator.glm.parsing import BEHAVIOURS as GLM_PARSING_BEHAVIOURS
from exai_emulator.glm.parsing import RULES as GLM_PARSING_RULES
from exai_emulator.glm.rules import BEHAVIOURS as GLM_BEHAVIOURS
from exai_emulator.glm.rules import RULES as GLM_RULES
from exai_emulator.glm.search import BEHAVIOURS as GLM_SEARCH_BEHAVIOURS
from exai_emulator.glm.search import RULES as GLM_SEARCH_RULES
from exai_emulator.glm.tasks import BEHAVIOURS as GLM_TASK_BEHAVIOURS
from exai_emulator.identities import Identities
from exai_emulator.kimi.api import KimiApi
from exai_emulator.kimi.batches import BEHAVIOURS as KIMI_BATCH_BEHAVIOURS
from exai_emulator.kimi.batches import RULES as KIMI_BATCH_RULES
from exai_emulator.kimi.files import BEHAVIOURS as KIMI_FILE_BEHAVIOURS
from exai_emulator.kimi.files import RULES as KIMI_FILE_RULES
from exai_emulator.kimi.platform import BEHAVIOURS as KIMI_PLATFORM_BEHAVIOURS
from exai_emulator.kimi.platform import RULES as KIMI_PLATFORM_RULES
from exai_emulator.kimi.responses import BEHAVIOURS as KIMI_RESPONSES_BEHAVIOURS
from exai_emulator.kimi.responses import FORM as RESPONSES_FORM
from exai_emulator.kimi.responses import PATH as RESPONSES_PATH
from exai_emulator.kimi.responses import RULES as KIMI_RESPONSES_RULES
from exai_emulator.kimi.responses import KimiResponses
from exai_emulator.kimi.rest_tools import BEHAVIOURS as KIMI_TOOL_BEHAVIOURS
from exai_emulator.kimi.rest_tools import RULES as KIMI_TOOL_RULES
from exai_emulator.kimi.rules import BEHAVIOURS as KIMI_BEHAVIOURS
from exai_emulator.kimi.rules import RULES as KIMI_RULES
from exai_emulator.log import RequestLog, fingerprint
from exai_emulator.messages_root import BEHAVIOURS as MESSAGES_BEHAVIOURS
from exai_emulator.messages_root import FORM as MESSAGES_FORM
from exai_emulator.messages_root import ROOTS as MESSAGES_ROOTS
from exai_emulator.messages_root import RULES as MESSAGES_RULES
from exai_emulator.messages_root import MessagesRoot
from exai_emulator.options import EmulatorOptions
from exai_emulator.other_forms import OtherForm
from exai_emulator.personas import Persona, Personas
from exai_emulator.provider import ProviderApi
from exai_emulator.receiving import Receiving
from exai_emulator.rules import AnyRule, RuleBook
from exai_emulator.scenarios import Script
from exai_emulator.server import ProviderServer
from exai_emulator.uploads import UploadFolder

__all__ = ["CONFORMANCE", "Addresses", "Emulator", "HeldFile"]

CONFORMANCE: dict[str, Sequence[AnyRule]] = {
    "glm": (
        *GLM_RULES,
        *GLM_FILE_RULES,
        *GLM_SEARCH_RULES,
        *GLM_PARSING_RULES,
        *MESSAGES_RULES["glm"],
        *GLM_BEHAVIOURS,
        *GLM_FILE_BEHAVIOURS,
        *GLM_SEARCH_BEHAVIOURS,
        *GLM_TASK_BEHAVIOURS,
        *GLM_PARSING_BEHAVIOURS,
        *GLM_CLOSED_BEHAVIOURS,
        *MESSAGES_BEHAVIOURS["glm"],
    ),
    "kimi": (
        *KIMI_RULES,
        *KIMI_FILE_RULES,
        *KIMI_TOOL_RULES,
        *KIMI_PLATFORM_RULES,
        *KIMI_BATCH_RULES,
        *KIMI_RESPONSES_RULES,
        *MESSAGES_RULES["kimi"],
        *KIMI_BEHAVIOURS,
        *KIMI_FILE_BEHAVIOURS,
        *KIMI_TOOL_BEHAVIOURS,
        *KIMI_PLATFORM_BEHAVIOURS,
        *KIMI_BATCH_BEHAVIOURS,
        *KIMI_RESPONSES_BEHAVIOURS,
        *MESSAGES_BEHAVIOURS["kimi"],
    ),
    "custom": (*CUSTOM_RULES, *CUSTOM_BEHAVIOURS),
}
"""Everything that is claimed of each service, with its evidence."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Base URLs without a trailing slash, and the keys that go with them."""

    glm: str
    glm_coding: str
    glm_anthropic: str
    kimi: str
    kimi_anthropic: str
    custom: str
    control: str
    glm_key: str
    kimi_key: str
    custom_key: str


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that a service keeps."""

    provider: str
    key: str | None
    """Whose account has it; None for the provider's own."""
    file: StoredFile
    is_lost: bool
    """Whether its id is answered like an unknown one."""

    def as_json(self) -> dict[str, object]:
        """The file as the control port shows it."""
        file = self.file
        return {
            "provider": self.provider,
            "key": None if self.key is None else fingerprint(self.key),
            "id": file.id,
            "filename": file.filename,
            "purpose": file.purpose,
            "status": file.status,
            "bytes": file.size,
            "sha256": file.sha256,
            "created": file.created,
            "expires_at": file.expires_at,
            "is_lost": self.is_lost,
        }


class Emulator:
    """Three providers, and what their owner can see and change. `running` gives it addresses."""

    addresses: Addresses

    def __init__(self, options: EmulatorOptions) -> None:
        self.options = options
        self.log = RequestLog(options.log_limit)
        self.clock = EmulatedClock()
        self.rules = RuleBook(CONFORMANCE, strictness=options.strictness, switched=options.rules)
        self.personas = Personas(options.persona)
        self.uploads = UploadFolder()
        self._identities = Identities(seed=options.seed, starts_at=options.starts_at)
        self._custom = CustomApi(options)
        apis: list[ProviderApi] = [
            GlmApi(options, self.rules, self.clock, self.uploads),
            KimiApi(options, self.rules),
            self._custom,
        ]
        self.apis = {api.name: api for api in apis}
        self.faults = FaultQueue(self.apis, self.clock, options.seed)
        self.script = Script(self.faults.check)
        self.accounts = Accounts(self.apis, self.clock)

    @property
    def persona(self) -> Persona:
        """Everyone's persona. Setting it replaces those of single providers and models too."""
        return self.personas.default

    @persona.setter
    def persona(self, persona: Persona) -> None:
        self.personas.set(persona)

    @property
    def custom_dialect(self) -> str:
        """Whose habits the custom service has. Setting it drops the faults that wait there."""
        return self._custom.dialect.name

    @custom_dialect.setter
    def custom_dialect(self, name: str) -> None:
        if name not in DIALECTS:
            raise ValueError(f"There is no dialect {name!r}; there are {', '.join(DIALECTS)}.")
        self._custom.dialect = DIALECTS[name]
        self.faults.clear("custom")

    def handler(self, provider: str) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """What answers the requests to one provider, at all of its roots."""
        api = self.apis[provider]
        chats = self._server(api)
        forms: list[OtherForm] = []
        if provider in MESSAGES_ROOTS:
            forms.append(MessagesRoot(api, f"{MESSAGES_ROOTS[provider]}/v1/messages", MESSAGES_FORM))
        if provider == "kimi":
            forms.append(KimiResponses(api, RESPONSES_PATH, RESPONSES_FORM))
        others = {form.path: self._server(form) for form in forms}

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await others.get(request.rel_url.raw_path, chats).handle(request)

        return handle

    def _server(self, api: ProviderApi) -> ProviderServer:
        return ProviderServer(
            api,
            accounts=self.accounts,
            receiving=Receiving(self.uploads, self.log, self.options.max_body_bytes),
            faults=self.faults,
            script=self.script,
            rules=self.rules,
            personas=self.personas,
            identities=self._identities,
        )

    def place_file(
        self,
        provider: str,
        filename: str,
        purpose: str,
        content: bytes,
        *,
        file_id: str | None = None,
        size: int | None = None,
    ) -> StoredFile:
        """Put a file into an account as if it had been uploaded; also one that nobody can upload.

        `size` makes it that long, by zeros that take no space on disk.
        """
        identity = self._identities.next(provider)
        account = self.accounts[provider]
        upload = self.uploads.filled(content, size=size)
        kind = kind_of(upload.path, upload.head)
        file = StoredFile(
            file_id or f"file_{identity.digest[:20]}",
            filename,
            purpose,
            upload,
            account.clock.now(),
            extract=Extract(kind, upload.path if kind == "text" else None),
        )
        account.files.add(file)
        return file

    def held_files(self) -> Iterator[HeldFile]:
        """Every file that an account of any key holds, oldest first within an account."""
        for provider, account in self.accounts.items():
            yield from (HeldFile(provider, None, file, account.has_lost(file)) for file in account.files)
        for (provider, key), account in self.accounts.by_key.items():
            yield from (HeldFile(provider, key, file, account.has_lost(file)) for file in account.files)

    def lose_files(self, provider: str, file_id: str | None = None) -> int:
        """Let a file, or all of a provider, be gone without anybody's asking; return how many."""
        lost = 0
        for held in tuple(self.held_files()):
            if held.provider == provider and file_id in (None, held.file.id):
                account = (
                    self.accounts[provider] if held.key is None else self.accounts.by_key[provider, held.key]
                )
                account.files.remove(held.file.id)
                lost += 1
        return lost

    def reset(self) -> None:
        """As it was at the start; requests in flight go on."""
        self.log.clear()
        self.faults.reset()
        self.script.clear()
        self.rules.reset()
        self.custom_dialect = self.options.custom_dialect
        self.personas.reset()
        self._identities.reset()
        self.clock.reset()
        self.accounts.reset()
