"""The account behind a key: what it may use, what it owns, and what it asked before."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from exai_emulator.clock import EmulatedClock
from exai_emulator.files import FileStore, StoredFile
from exai_emulator.tasks import Task
from exai_emulator.tokens import PrefixCache, count_tokens
from exai_emulator.usage import AccountUsage

__all__ = ["Account", "AccountState", "Accounts", "FileState"]

_Limit = Annotated[int, msgspec.Meta(ge=0)] | None


class FileState(msgspec.Struct, forbid_unknown_fields=True):
    """How an account's file store behaves."""

    max_files: int = 1_000
    """Files that it may hold; one more is refused."""
    max_file_bytes: int = 100 * 1024 * 1024
    """Largest file."""
    max_total_bytes: int = 10 * 1024**3
    """Kimi: size of all its files together."""
    content_delay_s: float = 0
    """How long after its upload a file's content is answered like that of an unknown file."""
    list_delay_s: float = 0
    """How long after its upload a file is not listed yet."""
    lost_after_s: float | None = None
    """How long after its upload a file's id is unknown, although nobody deleted it."""
    lists_lost: bool = False
    """Whether such a file is listed all the same."""
    kept_s: float | None = None
    """GLM: how long a `user_data` file is kept; None for the 30 days of the sample."""
    parse_s: float = 0
    """Kimi: how long a document is `processing`."""
    parses_per_minute: _Limit = None
    """Kimi: documents that it takes in a minute; one more is refused with 429."""
    name_suffix: Literal["repeated", "always", "never"] = "repeated"
    """Kimi: which new files are listed under a name that is longer than their own."""
    fails: bool = False
    """Kimi: what is uploaded from now on cannot be parsed and is listed with the status `error`."""


class AccountState(msgspec.Struct, forbid_unknown_fields=True):
    """What the control port can change about an account. A limit of None is none."""

    balance: float = 100.0
    """Money left, in the provider's currency. Nothing left means the provider's quota error."""
    price: Annotated[float, msgspec.Meta(ge=0)] = 0
    """Taken from the balance for each million tokens that a call really used."""
    suspended: bool = False
    """Kimi: the quota error, naming the suspension. GLM: 401/1112. Custom: `insufficient_quota`."""
    plan_only: bool = False
    """GLM: a Coding Plan without balance, which the general root refuses with 1113."""
    locked_models: tuple[str, ...] = ()
    """Kimi: models that are not unlocked, which answer like unknown ones."""
    tier: Annotated[int, msgspec.Meta(ge=0, le=5)] | None = None
    """Kimi: the limits of this tier of its table; the four limits below go before the tier's."""
    concurrency: _Limit = None
    """Most calls in flight (GLM counts them per model)."""
    rpm: _Limit = None
    """Kimi, custom: calls per minute."""
    tpm: _Limit = None
    """Kimi: tokens per minute, prompt and requested cap together."""
    tpd: _Limit = None
    """Kimi: the same per day."""
    daily_calls: _Limit = None
    """GLM: calls per day; then 1304."""
    plan_window_calls: _Limit = None
    """GLM, coding root: calls within five hours of the first; then 1308 with the time of the reset."""
    plan_week_calls: _Limit = None
    """GLM, coding root: calls within a week of the first; then 1310."""
    plan_ends_at: float | None = None
    """GLM, coding root: when the plan expires, in Unix seconds; then 1309."""
    files: FileState = msgspec.field(default_factory=FileState)
    """The file store."""
    task_s: float = 0
    """How long GLM's asynchronous chats and parsed documents and Kimi's batches take."""
    tasks_fail: bool = False
    """Those that begin from now on fail."""


@dataclass(slots=True)
class Account:
    """One account of one provider."""

    provider: str
    clock: EmulatedClock
    state: AccountState = field(default_factory=AccountState)
    usage: AccountUsage = field(default_factory=AccountUsage)
    cache: dict[str, PrefixCache] = field(default_factory=dict)
    """Earlier prompts by model."""
    in_flight: dict[str, int] = field(default_factory=dict)
    """Calls being answered now, by model."""
    request_ids: set[str] = field(default_factory=set)
    """GLM: the caller's own ids that were used."""
    searches: dict[str, int] = field(default_factory=dict)
    """Kimi: the tokens of the results of each `$web_search`, by its handle."""
    fees: Counter[str] = field(default_factory=Counter)
    """What was charged by the piece, such as web searches, and how often."""
    files: FileStore = field(init=False)
    """What was uploaded and not deleted."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """What was begun to be fetched later, by id."""

    def __post_init__(self) -> None:
        self.files = FileStore(self.clock)

    def find_file(self, file_id: str) -> StoredFile | None:
        """The file of that id, as far as the service knows it."""
        file = self.files.get(file_id)
        return None if file is None or self.has_lost(file) else file

    def has_lost(self, file: StoredFile) -> bool:
        """Whether the service no longer knows the file's id."""
        after = self.state.files.lost_after_s
        return after is not None and self.clock.now() - file.stored_at >= after

    def listed_files(self) -> list[StoredFile]:
        """The files that a list shows, oldest first."""
        now, state = self.clock.now(), self.state.files
        return [
            file
            for file in self.files
            if now - file.stored_at >= state.list_delay_s and (state.lists_lost or not self.has_lost(file))
        ]

    def cached_tokens(self, model: str, prompt: str, prompt_tokens: int) -> int:
        """Tokens of the longest beginning that `prompt` shares with an earlier one; it is remembered."""
        cache = self.cache.get(model)
        if cache is None:
            cache = self.cache[model] = PrefixCache()
        shared = cache.shared_prefix(prompt)
        return prompt_tokens if len(shared) == len(prompt) else min(count_tokens(shared), prompt_tokens)

    def charge(self, tokens: int) -> None:
        """Take what `tokens` cost from the balance; it may fall below zero."""
        if self.state.price:
            self.state.balance -= tokens * self.state.price / 1e6

    def reset(self) -> None:
        """As it was at the start."""
        self.state = AccountState()
        self.usage = AccountUsage()
        self.cache.clear()
        self.request_ids.clear()
        self.searches.clear()
        self.fees.clear()
        self.files.clear()
        self.tasks.clear()


class Accounts(Mapping[str, Account]):
    """The account of each provider by its name, and those of further keys."""

    def __init__(self, providers: Iterable[str], clock: EmulatedClock) -> None:
        self._clock = clock
        self._main = {provider: Account(provider, clock) for provider in providers}
        self.by_key: dict[tuple[str, str], Account] = {}
        """Accounts of further keys, by provider and key."""

    def __getitem__(self, provider: str) -> Account:
        return self._main[provider]

    def __iter__(self) -> Iterator[str]:
        return iter(self._main)

    def __len__(self) -> int:
        return len(self._main)

    def of_key(self, provider: str, key: str) -> Account | None:
        """The account that a further key has; None for the provider's own key and for a wrong one."""
        return self.by_key.get((provider, key)) if self.by_key else None

    def open(self, provider: str, key: str) -> Account:
        """The account of a further key, which the provider accepts from now on.

        Raises ValueError for a key that no Authorization header can carry.
        """
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("A key is printable ASCII without blanks.")
        return self.by_key.setdefault((provider, key), Account(provider, self._clock))

    def reset(self) -> None:
        """As at the start: further keys are unknown again."""
        self.by_key.clear()
        for account in self._main.values():
            account.reset()
