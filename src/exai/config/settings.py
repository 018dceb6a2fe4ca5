"""Every setting: its unit, its default and the reason for it.

One typed tree, loaded once: defaults < preset < `exai.toml` < environment (`EXAI_SECTION__KEY`) < command line. A
module gets its own section and reads nothing else. `exai config` prints the values in force and where each came from;
`docs/configuration.md` lists the same tree, and a test holds them equal.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, HttpUrl, SecretStr

from exai.config.auth import Auth, Issuer
from exai.config.calls.errors import Errors
from exai.config.calls.guards import Guards
from exai.config.calls.tools import Tools
from exai.config.keeping.database import Database
from exai.config.keeping.fleet import Fleet
from exai.config.providers import CustomModel, CustomProvider, GlmProvider, KimiProvider, Providers
from exai.config.values import Bytes, Count, Label, Port, ProxyNetwork, Seconds, Section, StorePlace
from exai.config.watching.auditor import Auditor
from exai.config.watching.investigation import Investigation
from exai.config.watching.logging import Logging
from exai.config.watching.notify import Notify
from exai.config.workflows import ToolLoop, Workflows

__all__ = [
    "Admission",
    "Auditor",
    "Auth",
    "Breaker",
    "Chain",
    "Conversations",
    "CustomModel",
    "CustomProvider",
    "Database",
    "Errors",
    "Files",
    "Fleet",
    "GlmProvider",
    "Guards",
    "Idempotency",
    "Investigation",
    "Issuer",
    "Jobs",
    "KimiProvider",
    "Logging",
    "Models",
    "Notify",
    "ObjectStorage",
    "Providers",
    "Retry",
    "Server",
    "Sessions",
    "Settings",
    "Timeouts",
    "ToolLoop",
    "Tools",
    "WebSocket",
    "Workflows",
]


class Server(Section):
    """Addresses and limits of the ports."""

    host: str = "127.0.0.1"
    """Address that every port binds to. Anything but loopback needs `auth.mode` `required`."""

    port: Port = 8079
    """MCP: WebSocket at `/` and `/mcp`, Streamable HTTP at `/mcp`. 0 takes any free port."""

    operations_port: Port = 8080
    """For people and monitors: `/healthz`, `/readyz`, `/metrics`. 0 takes any free port."""

    errors_port: Port = 8081
    """For programs that report errors (`docs/errors.md`). 0 takes any free port."""

    public_url: HttpUrl | None = None
    """The address under which clients know the MCP port, such as `https://exai.example.org`, when it is behind a
    proxy. Unset: as it is bound."""

    allowed_hosts: tuple[str, ...] = ()
    """Host names, beside loopback's, that a request may name. Guards against DNS rebinding."""

    allowed_origins: tuple[str, ...] = ()
    """Browser origins, beside loopback's, that may connect, as `https://host[:port]`."""

    trusted_proxies: Annotated[
        tuple[ProxyNetwork, ...],
        Label("a list of networks such as `10.1.2.0/24` or addresses, none of them everybody's"),
    ] = ()
    """Proxies in front. Of them alone `X-Forwarded-For` (its right-most address that is none of theirs) and
    `X-Forwarded-Proto` are believed, for refusals and logs."""

    drain_s: Seconds = 20.0
    """How long running calls may finish after SIGTERM before they get a definite, retriable error."""

    head_timeout_s: Seconds = 10.0
    """How long a connection may take to send the head of a request, or to begin a WebSocket; then it is closed."""

    body_timeout_s: Seconds = 60.0
    """How long an HTTP request body may take. One that comes slower than 4 KiB/s is refused sooner."""

    max_body_bytes: Bytes = 4 * 2**20
    """Largest HTTP request body, in bytes."""

    plain_calls: bool = True
    """Answer plain tool calls past the MCP SDK, at less cost, at every door. Off: through it."""


class WebSocket(Section):
    """Limits of one WebSocket connection."""

    max_frame_bytes: Bytes = 4 * 2**20
    """Largest message, in bytes; a larger one closes the socket with 1009. Large prompts travel as files."""

    max_json_depth: Count = 64
    """Deepest nesting of a message; a deeper one is refused before it is processed."""

    max_in_flight: Count = 128
    """Calls running at once on one connection; one more is refused with an error that says so."""

    max_per_caller: Count = 1_000
    """Sockets at once of one caller with a token; one more is refused with 429. Not for the local user."""

    send_timeout_s: Seconds = 20.0
    """How long one message may wait for a peer that does not read; then the socket is closed."""

    ping_interval_s: Seconds = 20.0
    """How often an idle peer is pinged."""

    ping_timeout_s: Seconds = 20.0
    """How long the answer to a ping may take."""


class Sessions(Section):
    """Resumable sessions over WebSocket (`exai.mcp.v1`): what is kept for a client whose socket broke."""

    grace_s: Seconds = 120.0
    """How long a session outlives its socket; then its running calls are cancelled."""

    http_grace_s: Seconds = 30.0
    """The same for calls over HTTP (2025-11-25) whose client has gone: without a request or stream of their session."""

    handshake_s: Seconds = 5.0
    """How long the first frame of a socket may take."""

    max_sessions: Count = 1_000
    """Sessions at once, with and without a socket; one more is refused. As many of Streamable HTTP."""

    max_per_caller: Count = 100
    """The same for one caller with a token: above it its longest idle session ends. Not for the local user."""

    max_messages: Count = 10_000
    """Messages kept for one client until it acknowledges them; beyond, the oldest are evicted, which it learns."""

    max_bytes: Bytes = 16 * 2**20
    """The same in bytes."""

    max_caller_bytes: Bytes = 64 * 2**20
    """The same for all sessions of one caller together; beyond, the session that keeps most gives up its oldest."""

    max_total_bytes: Bytes = 512 * 2**20
    """The same for all sessions of all callers together; beyond, the caller who keeps most gives up its oldest."""

    max_age_s: Seconds = 600.0
    """How long one message is kept unacknowledged."""

    credit: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Messages that one client may send beyond what has been acknowledged."""

    ack_delay_ms: Annotated[float, Field(ge=0, le=10_000)] = 50.0
    """How long an acknowledgement may wait for a message to travel with."""

    stuck_limit: Count = 3
    """How often in a row a client may be cut off for not reading; then it may not resume for a while."""

    stuck_pause_s: Seconds = 30.0
    """How long it may not resume."""


class Admission(Section):
    """How much runs at the same time."""

    global_limit: Count = 256
    """Calls that ask a provider, in the whole daemon."""

    caller_limit: Count = 128
    """Of these, for one caller. Above `provider_limit`, so that a provider that hangs cannot take them all."""

    provider_limit: Count = 96
    """Requests at one provider, all its models together."""

    model_limit: Count = 64
    """Requests at one provider's one model. Providers count in-flight requests per model."""

    caller_bytes: Bytes = 64 * 2**20
    """One caller's running and waiting calls: arguments, and files and pictures read for them, in bytes; one more is
    answered `overloaded`. As much again may be coming in."""

    global_bytes: Bytes = 256 * 2**20
    """The same for all callers together."""

    max_queue: Annotated[int, Field(ge=0, le=1_000_000)] = 512
    """Calls that may wait for a permit; one more is answered `overloaded` at once."""

    max_wait_s: Seconds = 30.0
    """Longest wait of one call for all its permits together; then `overloaded`, with a hint when to come back."""


class Timeouts(Section):
    """Bounds of a call at a provider, in seconds."""

    call_s: Seconds = 900.0
    """The whole call, from its request to its answer."""

    connect_s: Seconds = 10.0
    """TCP and TLS."""

    upload_s: Seconds = 120.0
    """Uploading one picture to a provider's file store."""

    first_byte_s: Seconds = 120.0
    """Until the first byte of an answer at ordinary effort."""

    first_byte_max_effort_s: Seconds = 600.0
    """The same at effort `high` and `max`: minutes of silence are documented there."""

    idle_s: Seconds = 120.0
    """Between two bytes of a stream at ordinary effort; reasoning counts."""

    idle_max_effort_s: Seconds = 600.0
    """The same at effort `high` and `max`."""


class Retry(Section):
    """Asking a provider again after a passing failure, within the time of the call."""

    max_retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Further requests for one answer after the first; broken connections and server errors get at most two."""

    throttle_backoff_s: Seconds = 1.0
    """First wait after "too many requests", at most; each further wait may be twice as long."""

    overload_backoff_s: Seconds = 2.0
    """The same after "no capacity", which lasts 2 to 10 s at providers."""

    transport_backoff_s: Seconds = 0.25
    """The same after a broken connection or a server error."""

    max_backoff_s: Seconds = 30.0
    """No wait of ours is longer than this; a provider's `Retry-After` comes on top."""

    max_retry_after_s: Seconds = 60.0
    """When a provider asks for a longer wait, the call fails and says how long."""

    budget_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Retries that each first request adds to its provider's budget, so that retries cannot multiply an outage."""

    budget_reserve: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    """Most retries in that budget, and how many a quiet minute puts back, so that a rare caller has some too."""


class Breaker(Section):
    """When a model is not asked for a while because its provider fails."""

    consecutive_failures: Count = 5
    """Failures in a row that open it."""

    failure_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of failed requests within a minute that opens it."""

    min_requests: Count = 10
    """Requests within that minute from which the share means something."""

    slow_call_s: Seconds | None = None
    """A request that takes longer counts as failed, although its answer is given. Unset: none does."""

    open_s: Seconds = 10.0
    """How long it stays open before one request may probe; up to a tenth is added at random."""

    refused_open_s: Seconds = 60.0
    """The same after a refused key or a used-up quota whose reset is not known."""

    max_open_s: Seconds = 3_600.0
    """Longest time between two probes, however far away a reset is: a top-up may come earlier."""


class Chain(Section):
    """Which models may take over from one, without the caller's naming them."""

    model: str
    """The model that the chain is for."""

    then: tuple[str, ...]
    """The models that may take over, in this order."""

    content_filter: bool = False
    """Whether a question that its provider filtered may be put to another provider."""


class Models(Section):
    """Which model answers when the caller names none, and which may take over."""

    default: str = "auto"
    """A model's name, or `auto`: one of `preferred` that is available and can do what the call needs."""

    preferred: tuple[str, ...] = ("glm-5.3", "kimi-k3", "glm-5.3-flash", "kimi-k2.6")
    """The models among which `auto` chooses, in this order."""

    auto_by: Literal["order", "price", "window"] = "order"
    """How `auto` chooses among the models that can answer: by their order, the lowest price, or the largest window."""

    chains: tuple[Chain, ...] = ()
    """Models that may take over from a named one. Without a chain a named model answers or the call fails."""


class Conversations(Section):
    """How long and how much is remembered."""

    max_exchanges: Count = 50
    """Question-and-answer pairs of one conversation."""

    keep_days: Annotated[int, Field(ge=0, le=1_000_000)] = 365
    """How long a conversation is kept after its last exchange. 0: for ever."""

    history_share: Annotated[float, Field(gt=0, le=0.9)] = 0.5
    """Share of the model's window that earlier exchanges may fill."""

    max_answer_share: Annotated[float, Field(gt=0, le=0.9)] = 0.3
    """Share of the model's window kept free for the answer when the caller sets no cap."""


class ObjectStorage(Section):
    """The service that has the bucket of `files.store`."""

    endpoint: HttpUrl | None = None
    """Its address, such as `https://s3.example.org`. Unset: Amazon's, by `region`."""

    region: str = "us-east-1"
    """The bucket's region. Services that know none take the default."""

    access_key_id: SecretStr | None = None
    """The id of the access key. Unset: as Amazon's own tools find it, `AWS_ACCESS_KEY_ID` or the machine's role."""

    secret_access_key: SecretStr | None = None
    """The secret of the access key."""


class Files(Section):
    """What a tool may read from this machine's disk."""

    roots: tuple[Path, ...] = ()
    """Folders whose files a call may name. Empty: none. `exai stdio` adds the folder it is started in."""

    workspace: Path | None = None
    """The one of them that is meant where a call names no `workspace`. Unset: the only one; `exai stdio`: its own."""

    max_file_bytes: Bytes = 2 * 2**20
    """Largest text file that is shown whole, in bytes; of a larger one the model sees a part, and reads on by tools."""

    max_files: Count = 100
    """Files of one call, those in folders included."""

    max_total_bytes: Bytes = 8 * 2**20
    """All texts of one call that are shown whole, in bytes."""

    max_images: Count = 10
    """Pictures of one call."""

    max_image_bytes: Bytes = 20 * 2**20
    """Largest picture that is read, in bytes. What is more than the model takes is made smaller."""

    max_image_pixels: Annotated[int, Field(ge=1, le=85_000_000)] = 50_000_000
    """Largest picture that is decoded, in pixels. No side may have more than 65,535."""

    max_decoding_bytes: Bytes = 1_280 * 2**20
    """Memory for all pictures that are decoded at once, in bytes. A pixel takes up to 16, of a WebP 24."""

    store: StorePlace = "folder"
    """Where contents are kept: `folder` is `files` in the data folder; a bucket needs the extra `exai[s3]`."""

    cache_bytes: Bytes = 2**30
    """Copies of a bucket's contents on this machine's disk, in bytes."""

    max_upload_bytes: Bytes = 512 * 2**20
    """Largest file that is stored, in bytes."""

    max_owner_bytes: Bytes = 10 * 2**30
    """All stored files of one owner together, in bytes."""

    max_owner_files: Count = 10_000
    """Stored files of one owner."""

    keep_free_bytes: Annotated[int, Field(ge=0)] = 2**30
    """Space that is left free on the disk of the file store, in bytes."""

    upload_keep_hours: Annotated[float, Field(gt=0, le=8_760)] = 24.0
    """How long a resumable upload waits for its next bytes, in hours."""

    grace_hours: Annotated[float, Field(ge=0, le=8_760)] = 24.0
    """How long a content is kept that no stored file has any more, in hours."""

    extract: Literal["local_first", "provider_first", "local_only"] = "local_first"
    """Who reads documents: EXAI, and scans the provider that is asked; that provider wherever it can; EXAI alone."""

    secrets: Literal["redact", "block", "warn", "off"] = "redact"
    """What happens to a secret in a text that a model is to be shown: replaced by the name of its form, the file
    refused, sent with a note, or not looked for. Bytes that would be sent as they are, such as a picture's, are then
    refused, unless it is `warn` or `off`."""

    collect_most: Count = 1_000
    """Contents that are deleted at a time, a few times a day."""

    share_copies: Literal["owner", "house"] = "owner"
    """Whose a copy at a provider is: its owner's, or everybody's (`house`). Shared, it is sent once for all, and
    whoever sends the same content can find out by the time it takes that somebody else has it."""

    keep_copies: bool = False
    """Leave a document at the provider that read its text, instead of deleting it there at once."""

    verify_after_hours: Annotated[float, Field(ge=0, le=8_760)] = 24.0
    """How long a copy at a provider is relied upon before the provider is asked whether it still has it, in hours."""

    keep_proof_days: Count = 90
    """How long it can be looked up what became of a copy at a provider, and of what was deleted."""

    s3: ObjectStorage = ObjectStorage()


class Idempotency(Section):
    """Calls that carry an idempotency key: what is kept for a client that asks again."""

    keep_hours: Annotated[int, Field(ge=1, le=8_760)] = 24
    """How long a result is kept, in hours since its call began: a laptop that slept over night still gets it."""

    max_result_bytes: Bytes = 4 * 2**20
    """Largest result that is kept, in bytes. A larger one is given once; asked again, the call says so."""


class Jobs(Section):
    """Durable work, which is finished even when the process that started it ends."""

    run: bool = True
    """Whether this daemon begins and runs jobs. `exai stdio` never does."""

    file: Path | None = None
    """SQLite file of the jobs, a database of its own. Unset: `jobs.sqlite` in `data_dir`."""

    poll_s: Seconds = 1.0
    """How often the daemon looks for jobs that are due, from the first job on."""

    keep_done_days: Count = 7
    """How long a job that is done or cancelled can be looked up."""

    keep_dead_days: Count = 90
    """How long a dead job can be looked up; as long as it is kept, it is not started again."""


class Settings(Section):
    """The whole tree."""

    preset: Literal["development", "production", "testing"] | None = None
    """A group of values (`docs/configuration.md` has them) for settings that nothing else sets."""

    data_dir: Path = Path("~/.local/share/exai")
    """Folder of the SQLite file and of everything else that is kept, created with mode 700."""

    server: Server = Server()
    websocket: WebSocket = WebSocket()
    sessions: Sessions = Sessions()
    admission: Admission = Admission()
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    providers: Providers = Providers()
    models: Models = Models()
    conversations: Conversations = Conversations()
    files: Files = Files()
    errors: Errors = Errors()
    guards: Guards = Guards()
    tools: Tools = Tools()
    tool_loop: ToolLoop = ToolLoop()
    workflows: Workflows = Workflows()
    database: Database = Database()
    fleet: Fleet = Fleet()
    idempotency: Idempotency = Idempotency()
    jobs: Jobs = Jobs()
    auditor: Auditor = Auditor()
    investigation: Investigation = Investigation()
    notify: Notify = Notify()
    auth: Auth = Auth()
    logging: Logging = Logging()
