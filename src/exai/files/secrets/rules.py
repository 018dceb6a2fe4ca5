"""Forms of keys and tokens that are known by their beginning, and where in a content they stand.

All forms are one expression of RE2, which goes over a content once, in time that grows with its length alone.
"""

import base64
import binascii
import json
from typing import NamedTuple

import re2

__all__ = ["BUILT_IN_VERSION", "OWN_ISSUER", "Span", "built_in_spans"]

OWN_ISSUER = "exai"
"""As `exai.config.auth` has it, which the process of a workspace does without."""

BUILT_IN_VERSION = 1
"""Raised with each change of the forms, so that contents are looked at again."""

_FORMS: dict[str, str] = {
    "private-key": (
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n|[A-Za-z-]+: [^\n]*\n)*"
        r"[A-Za-z0-9+/=]{20}[A-Za-z0-9+/=\s\\]*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
    ),
    "exai-token": r"\bex[kr]_[0-9a-f]{16}_[A-Za-z0-9_-]{43}",
    "exai-access-token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}",
    "aws-access-key": r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
    "google-api-key": r"\bAIza[A-Za-z0-9_-]{35}",
    "azure-storage-key": r"AccountKey=[A-Za-z0-9+/]{86}==",
    "github-pat": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})",
    "gitlab-pat": r"\bgl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{20,64}",
    "slack-token": r"\b(?:xox[abeoprs]|xapp)-[0-9A-Za-z]+-[A-Za-z0-9-]{10,200}",
    "slack-webhook": r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20,}",
    "telegram-bot-token": r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
    "anthropic-key": r"\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{60,120}",
    "openai-key": r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,200}",
    "moonshot-key": r"\bsk-(?:kimi-)?[A-Za-z0-9]{48}\b",
    "zai-key": r"\b[0-9a-f]{32}\.[A-Za-z0-9]{16}\b",
    "stripe-key": r"\b[rs]k_live_[A-Za-z0-9]{20,120}",
    "npm-token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "pypi-token": r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,200}",
    "huggingface-token": r"\bhf_[A-Za-z0-9]{34}\b",
    "sendgrid-key": r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
}


class Span(NamedTuple):
    """Where a secret stands, in bytes, and by which rule it is one."""

    start: int
    end: int
    rule: str


def _options() -> "re2.Options":
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # contents are bytes, of whatever kind
    options.log_errors = False
    options.max_mem = 2**26
    return options


_ANY = re2.compile("|".join(f"(?:{form})" for form in _FORMS.values()).encode(), _options())
_EACH = {rule: re2.compile(form.encode(), _options()) for rule, form in _FORMS.items()}


def built_in_spans(content: bytes) -> list[Span]:
    """Find the secrets of a content, in their order."""
    return [
        Span(match.start(), match.end(), rule)
        for match in _ANY.finditer(content)
        if (rule := _rule_of(match[0])) is not None
    ]


def _rule_of(found: bytes) -> str | None:
    rule = next(rule for rule, form in _EACH.items() if form.fullmatch(found) is not None)
    return None if rule == "exai-access-token" and not _is_own(found) else rule


def _is_own(token: bytes) -> bool:
    """Whether EXAI issued a signed token; other issuers' are short-lived, and stand in many a test and manual."""
    claims = token.split(b".")[1]
    try:
        read = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(read, dict) and read.get("iss") == OWN_ISSUER
