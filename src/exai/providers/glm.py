"""GLM, by Z.ai (international) and Zhipu BigModel (mainland): profile, errors, keys."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping

import msgspec

from exai import config
from exai.errors import (
    ContentFiltered,
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnauthorized,
    QuotaExhausted,
    StartFault,
)
from exai.providers.base import Shared
from exai.providers.catalog import Model
from exai.providers.faults import Row, Verdict
from exai.providers.file_limits import FileDialect
from exai.providers.profile import WINDOW_FULL, CutShort, Profile
from exai.providers.remote_files.accounts import account_copies
from exai.providers.wire.openai_compatible import OpenAiCompatible, bearer, usable_key
from exai.runtime.clock import Clock

__all__ = ["ERRORS", "SignedTokens", "glm_profile", "glm_provider", "search_engines"]

TOKEN_LIFETIME_MS = 210_000
TOKEN_REFRESH_S = 180.0
"""A token lives 3.5 minutes and is replaced after 3, as in the vendor's SDK."""

_MAINLAND_HOST = "open.bigmodel.cn"


def _codes(*codes: int | str) -> frozenset[str]:
    return frozenset(str(code) for code in codes)


_OVERLOADED = Verdict(
    ProviderOverloaded,
    "{title} has no capacity for {model} now ({code}). Try again later or use another model.",
)
_PLAN_WINDOW = Verdict(
    QuotaExhausted,
    "The {title} plan does not cover this call of {model} now ({code}): its window is used up, it has "
    "expired, or the model is not in it. Wait for its reset, or change the plan.",
)
_FILTERED = Verdict(
    ContentFiltered, "{title} filtered the question or the answer as unsafe ({code}). Word it differently."
)
_OVERFLOW = Verdict(
    ContextOverflow,
    "The prompt does not fit into the window of {model} ({code}). Send less, or use a model with a larger "
    "window.",
)

ERRORS: tuple[Row, ...] = (
    Row(
        _codes(1003),
        Verdict(
            ProviderUnauthorized,
            "{title} says the signed token has expired ({code}). Set this machine's clock right, or set "
            "providers.glm.auth to 'raw'.",
        ),
    ),
    Row(
        _codes(1000, 1001, 1002, 1004, 1005),
        Verdict(ProviderUnauthorized, "{title} does not accept the key ({code}). Check {key_hint}."),
    ),
    Row(
        _codes(1113),
        Verdict(
            QuotaExhausted,
            "The {title} account has no balance for {model} ({code}). Top up there; a Coding Plan key is "
            "good only at the plan's own root (see {url_setting}).",
        ),
    ),
    Row(
        _codes(*range(1110, 1122)),
        Verdict(
            ProviderUnauthorized, "The {title} account is locked or not usable ({code}). See its console."
        ),
    ),
    Row(
        _codes(1211),
        Verdict(
            ProviderDenied,
            "{title} has no {model} at this address ({code}). Choose another model, or check {url_setting}.",
        ),
    ),
    Row(
        _codes(1220, 1221, 1222, 434),
        Verdict(
            ProviderDenied,
            "{title} does not open this API to the account ({code}). Ask for access in its console, or "
            "check {url_setting}.",
        ),
    ),
    Row(
        _codes(1210, 1212, 1213, 1214, 1215, 1231),
        Verdict(
            ProviderRefused,
            "{title} calls the request for {model} invalid ({code}). Leave out optional arguments such as "
            "temperature, images or web search, or choose another model.",
        ),
    ),
    Row(_codes(1261), _OVERFLOW),
    Row(
        _codes(435),
        Verdict(
            ContextOverflow, "The request is too large for {title} ({code}). Send fewer or smaller images."
        ),
    ),
    Row(_codes(1301), _FILTERED),
    Row(
        _codes(1302, 1303),
        Verdict(
            ProviderThrottled,
            "More calls of {model} run at {title} than the account allows ({code}). Try again shortly, or "
            "lower admission.model_limit to the account's limit.",
        ),
    ),
    Row(
        _codes(1304),
        Verdict(
            QuotaExhausted, "The {title} account's calls for today are used up ({code}). Try again tomorrow."
        ),
    ),
    Row(_codes(1305, 1312), _OVERLOADED),
    Row(_codes(*range(1308, 1312), *range(1313, 1322)), _PLAN_WINDOW),
    Row(
        _codes(1701),
        Verdict(ProviderThrottled, "Too many web searches run at {title} ({code}). Try again shortly."),
    ),
    Row(
        _codes(1702, 1703),
        Verdict(
            ProviderRefused,
            "The web search of {title} has no engine or found nothing usable ({code}). Word the question "
            "differently, check providers.glm.search_engine, or ask without web search.",
        ),
    ),
    Row(
        _codes(500, -1, 1200, 1230, 1234),
        Verdict(ProviderFailed, "{title} failed while answering ({code}). Try again later."),
    ),
)
"""Errors by GLM's codes, which are stable; its texts are in two languages."""


def search_engines(base_url: str, named: str) -> tuple[str, str]:
    """Return the search engine inside a chat and the one on its own; `named` is the setting, maybe `auto`."""
    if named != "auto":
        return named, named
    # The two platforms name their engines differently; the mainland's cheaper ones give no addresses.
    if _MAINLAND_HOST in base_url:
        return "search_pro_sogou", "search_pro_sogou"
    return "search_pro_jina", "search-prime"


def glm_profile(base_url: str, search_engine: str = "auto") -> Profile:
    """Make GLM's profile at `base_url`."""
    engine, _ = search_engines(base_url, search_engine)
    return Profile(
        title="GLM",
        key_hint="GLM_API_KEY (or ZAI_API_KEY, ZHIPUAI_API_KEY, the setting providers.glm.api_key)",
        url_setting="providers.glm.base_url",
        max_tokens_field="max_tokens",
        headers={"Accept-Language": "en-US,en"},
        search_tool={
            "type": "web_search",
            "web_search": {"enable": True, "search_engine": engine, "search_result": True},
        },
        request_id_header="X-LOG-ID",
        errors=ERRORS,
        finishes={
            "stop": "stop",
            "length": "length",
            "tool_calls": "tool_calls",
            "sensitive": _FILTERED,
            "model_context_window_exceeded": CutShort(WINDOW_FULL, _OVERFLOW),
            "network_error": Verdict(
                ProviderFailed, "{title} lost the model while it answered ({code}). Try again."
            ),
        },
    )


def glm_provider(
    settings: config.GlmProvider,
    models: Mapping[str, Model],
    files: FileDialect,
    shared: Shared,
) -> OpenAiCompatible:
    """Make GLM's adapter.

    Raises:
        StartFault: the key is malformed, or cannot sign tokens although `auth` is `jwt`.
    """
    base_url = str(settings.base_url)
    profile = glm_profile(base_url, settings.search_engine)
    key = usable_key(settings.api_key, profile.key_hint)
    authorization: Callable[[], str] | None = None
    if key is not None:
        authorization = (
            SignedTokens(key, shared.clock).authorization if settings.auth == "jwt" else bearer(key)
        )
    return OpenAiCompatible(
        name="glm",
        profile=profile,
        models=models,
        base_url=base_url,
        authorization=authorization,
        shared=shared,
        copies=account_copies("glm", profile, files, base_url, key, shared, settings.keep_uploads_days),
    )


class SignedTokens:
    """Short-lived bearer tokens signed with the secret half of a GLM key (HS256, vendor's SDK)."""

    def __init__(self, key: str, clock: Clock) -> None:
        """Raise `StartFault` when `key` does not have the form `id.secret`."""
        self._id, _, secret = key.partition(".")
        if not self._id or not secret:
            raise StartFault(
                "providers.glm.auth is 'jwt', but the GLM key does not have the form id.secret. Copy the "
                "key again, or set providers.glm.auth to 'raw'."
            )
        self._secret = secret.encode()
        self._clock = clock
        self._authorization = ""
        self._good_until = -1.0

    def authorization(self) -> str:
        """Return the header's value, with a new token when the last one is about to expire."""
        now = self._clock.monotonic()
        if now >= self._good_until:
            self._authorization = f"Bearer {self._sign(round(self._clock.wall() * 1000))}"
            self._good_until = now + TOKEN_REFRESH_S
        return self._authorization

    def _sign(self, wall_ms: int) -> str:
        header = {"alg": "HS256", "sign_type": "SIGN", "typ": "JWT"}
        claims = {"api_key": self._id, "exp": wall_ms + TOKEN_LIFETIME_MS, "timestamp": wall_ms}
        signed = b".".join(_base64url(msgspec.json.encode(part)) for part in (header, claims))
        return (signed + b"." + _base64url(hmac.digest(self._secret, signed, hashlib.sha256))).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
