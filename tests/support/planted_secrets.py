"""Seventy-nine secrets that are none, of forms that are looked for.

They are drawn when a test runs, so that nobody's scanner finds one in this repository.
"""

import random
import string
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ALNUM", "B64", "BUILT_IN", "FURTHER", "HEX", "pem", "planted", "some"]

_chance = random.Random(20_261_129)
ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
URL = ALNUM + "_-"
UPPER = string.ascii_uppercase + "234567"
HEX = "0123456789abcdef"
B64 = ALNUM + "+/"


def some(alphabet: str, count: int) -> str:
    """Draw characters."""
    return "".join(_chance.choice(alphabet) for _ in range(count))


def pem(kind: str) -> str:
    """Draw what looks like a private key."""
    body = "\n".join(some(B64, 64) for _ in range(12))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


BUILT_IN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        **{
            f"private-key {n}": ("private-key", pem(kind))
            for n, kind in enumerate(("RSA ", "EC ", "", "OPENSSH "))
        },
        "private-key armored": (
            "private-key",
            f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{some(B64, 64)}\n-----END PGP PRIVATE KEY BLOCK-----",
        ),
        "exk": ("exai-token", f"exk_{some(HEX, 16)}_{some(URL, 43)}"),
        "exr": ("exai-token", f"exr_{some(HEX, 16)}_{some(URL, 43)}"),
        "akia": ("aws-access-key", f"AKIA{some(UPPER, 16)}"),
        "asia": ("aws-access-key", f"ASIA{some(UPPER, 16)}"),
        "google": ("google-api-key", f"AIza{some(URL, 35)}"),
        "azure": ("azure-storage-key", f"AccountKey={some(B64, 86)}=="),
        **{f"gh{letter}": ("github-pat", f"gh{letter}_{some(ALNUM, 36)}") for letter in "pousr"},
        "github fine": ("github-pat", f"github_pat_{some(ALNUM + '_', 82)}"),
        **{f"gl{kind}": ("gitlab-pat", f"gl{kind}-{some(URL, 20)}") for kind in ("pat", "dt", "rt", "ptt")},
        **{
            f"{kind}": ("slack-token", f"{kind}-{some(string.digits, 12)}-{some(ALNUM, 24)}")
            for kind in ("xoxb", "xoxp", "xoxa", "xapp")
        },
        "slack hook": (
            "slack-webhook",
            f"hooks.slack.com/services/T{some(UPPER, 8)}/B{some(UPPER, 8)}/{some(ALNUM, 24)}",
        ),
        "telegram": ("telegram-bot-token", f"{some('123456789', 9)}:AA{some(URL, 32)}x"),
        "anthropic": ("anthropic-key", f"sk-ant-api03-{some(URL, 93)}AA"),
        "openai project": ("openai-key", f"sk-proj-{some(URL, 74)}"),
        "openai service": ("openai-key", f"sk-svcacct-{some(URL, 74)}"),
        "moonshot": ("moonshot-key", f"sk-{some(ALNUM, 48)}"),
        "kimi": ("moonshot-key", f"sk-kimi-{some(ALNUM, 48)}"),
        "zai": ("zai-key", f"{some(HEX, 32)}.{some(ALNUM, 16)}"),
        "stripe": ("stripe-key", f"sk_live_{some(ALNUM, 24)}"),
        "stripe restricted": ("stripe-key", f"rk_live_{some(ALNUM, 99)}"),
        "npm": ("npm-token", f"npm_{some(ALNUM, 36)}"),
        "pypi": ("pypi-token", f"pypi-AgEIcHlwaS5vcmc{some(URL, 130)}"),
        "huggingface": ("huggingface-token", f"hf_{some(ALNUM, 34)}"),
        "sendgrid": ("sendgrid-key", f"SG.{some(URL, 22)}.{some(URL, 43)}"),
    }
)
"""By their names: the rule of the built-in list, and the secret."""

FURTHER: Mapping[str, str] = MappingProxyType(
    {
        "digitalocean": f"dop_v1_{some(HEX, 64)}",
        "shopify": f"shpat_{some(HEX, 32)}",
        "shopify app": f"shpss_{some(HEX, 32)}",
        "linear": f"lin_api_{some(ALNUM, 40)}",
        "databricks": f"dapi{some(HEX, 32)}",
        "doppler": f"dp.pt.{some(ALNUM, 43)}",
        "groq": f"gsk_{some(ALNUM, 52)}",
        "postman": f"PMAK-{some(HEX, 24)}-{some(HEX, 34)}",
        "grafana": f"glsa_{some(ALNUM, 32)}_{some(HEX, 8)}",
        "grafana cloud": f"glc_{some(ALNUM, 60)}",
        "pulumi": f"pul-{some(HEX, 40)}",
        "rubygems": f"rubygems_{some(HEX, 48)}",
        "sentry": f"sntryu_{some(HEX, 64)}",
        "mailgun": f"key-{some(HEX, 32)}",
        "notion": f"ntn_{some(string.digits, 11)}{some(ALNUM, 35)}",
        "figma": f"figd_{some(ALNUM, 40)}",
        "replicate": f"r8_{some(ALNUM, 37)}",
        "perplexity": f"pplx-{some(ALNUM, 48)}",
        "xai": f"xai-{some(ALNUM, 80)}",
        "vault": f"hvs.{some(URL, 95)}",
        "terraform": f"{some(ALNUM, 14)}.atlasv1.{some(URL, 67)}",
        "flutterwave": f"FLWSECK_TEST-{some(HEX, 32)}-X",
        "easypost": f"EZAK{some(ALNUM, 54)}",
        "newrelic": f"NRAK-{some(string.ascii_uppercase + string.digits, 27)}",
        "dynatrace": f"dt0c01.{some(UPPER, 24)}.{some(UPPER, 64)}",
        "age": f"AGE-SECRET-KEY-1{some('QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L', 58)}",
        "duffel": f"duffel_live_{some(ALNUM, 43)}",
        "clojars": f"CLOJARS_{some(LOWER, 60)}",
        "adafruit": f"aio_{some(ALNUM, 28)}",
        "airtable": f"pat{some(ALNUM, 14)}.{some(HEX, 64)}",
        "atlassian": f"ATATT3xFfGF0{some(ALNUM + '_-', 172)}={some('0123456789ABCDEF', 8)}",
        "brevo": f"xkeysib-{some(HEX, 64)}-{some(ALNUM, 16)}",
        "docker": f"dckr_pat_{some(URL, 27)}",
        "buildkite": f"bkua_{some(HEX, 40)}",
        "fly": f"FlyV1 fm2_{some(B64, 100)}",
        "prefect": f"pnu_{some(LOWER, 36)}",
        "readme": f"rdme_{some(LOWER, 70)}",
        "square": f"EAAA{some(URL, 60)}",
        "supabase": f"sbp_{some(HEX, 40)}",
        "typeform": f"tfp_{some(URL, 59)}",
    }
)
"""By their names: what Kingfisher knows besides."""


def planted(name: str, secret: str) -> bytes:
    """Return a source with a secret in it."""
    return f"# settings\n{name.replace(' ', '_')}_token = '{secret}'\n".encode()
