"""The settings of providers: GLM, Kimi, and rows for further endpoints."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, SecretStr

from exai.config.values import ChosenName, Count, Price, Section

__all__ = ["CustomModel", "CustomProvider", "GlmProvider", "KimiProvider", "Providers"]


class GlmProvider(Section):
    """GLM, by Z.ai (international) or Zhipu (mainland)."""

    api_key: SecretStr | None = None
    """Also read from `GLM_API_KEY`, `ZAI_API_KEY`, `Z_AI_API_KEY`, `ZHIPUAI_API_KEY`. Form: `id.secret`."""

    base_url: HttpUrl = HttpUrl("https://api.z.ai/api/paas/v4")
    """Mainland: `https://open.bigmodel.cn/api/paas/v4`. The Coding Plan has its own root
    (`/api/coding/paas/v4`), which its terms restrict to listed coding tools; set it only if that is you."""

    search_engine: str = "auto"
    """What searches the web, by GLM's name. `auto`: `search-prime`, and `search_pro_jina` inside a chat; on the
    mainland `search_pro_sogou`."""

    search_usd: Annotated[float, Field(ge=0, le=100)] | None = None
    """What one web search costs, in dollars. Z.ai publishes no price, so without it the cost is unknown."""

    auth: Literal["raw", "jwt"] = "raw"
    """Send the key itself, or a short-lived token signed with it."""

    allowed_models: tuple[str, ...] = ()
    """Only these models; empty allows the whole catalogue."""

    keep_uploads_days: Count = 30
    """How long a file stays in the account's file store after its last use."""


class KimiProvider(Section):
    """Kimi, by Moonshot AI."""

    api_key: SecretStr | None = None
    """Also read from `KIMI_API_KEY`, `MOONSHOT_API_KEY`, `MOONSHOTAI_API_KEY`. Keys of the two platforms
    (`.ai`, `.cn`) are not interchangeable."""

    base_url: HttpUrl = HttpUrl("https://api.moonshot.ai/v1")
    """Mainland: `https://api.moonshot.cn/v1`."""

    web_search: Literal["tools", "builtin"] = "tools"
    """How models search the web: by Kimi's search interface, whose sources an answer can name, or by the older
    built-in `$web_search` where the model has it, which names none."""

    allowed_models: tuple[str, ...] = ()
    """Only these models; empty allows the whole catalogue."""

    upload_images_above_bytes: Annotated[int, Field(ge=0)] = 2**20
    """Pictures above this are uploaded to the account's file store once, instead of being sent in each request."""

    keep_uploads_days: Count = 30
    """How long a file stays in the account's file store after its last use. An account holds 1,000 files."""

    count_tokens: bool = False
    """Have Kimi count a prompt whose estimate comes near the window's limit: a free request, but one more wait."""


class CustomModel(Section):
    """A model behind a custom endpoint."""

    name: str
    """The name that the endpoint has for it."""

    context_tokens: Count = 32_768
    """Context window, in tokens."""

    max_output_tokens: Count = 4_096
    """Largest answer, in tokens."""

    images: bool = False
    """Whether it accepts pictures."""

    efforts: tuple[Literal["none", "low", "medium", "high", "max"], ...] = ()
    """The efforts that it distinguishes; empty: none is sent. Without `none` it is assumed to think always."""

    input_price: Price | None = None
    """US dollars per million tokens of prompts. Without it and `output_price` the cost is unknown."""

    cached_input_price: Price | None = None
    """The same for tokens that the endpoint had cached, where they are cheaper."""

    output_price: Price | None = None
    """The same for answers, thinking included."""


class CustomProvider(Section):
    """An OpenAI-compatible endpoint."""

    base_url: HttpUrl
    """The root that has `/chat/completions` below it."""

    api_key: SecretStr | None = None
    """Sent in the header `key_header`; unset: no key is sent."""

    models: tuple[CustomModel, ...]
    """The models that it serves."""

    dialect: Literal[
        "compatible",
        "openai",
        "azure",
        "openrouter",
        "deepseek",
        "minimax",
        "xai",
        "gemini",
        "ollama",
        "vllm",
    ] = "compatible"
    """The service whose API it follows. It decides the defaults of the keys below (`docs/providers.md` has the table),
    and how errors are read."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    """The name of the request field that limits the length of an answer."""

    stream_usage: bool | None = None
    """Ask for `stream_options.include_usage`; switch off where it is refused."""

    key_header: Literal["authorization", "api-key", "x-api-key"] | None = None
    """The header for the key: `authorization` as a bearer token, the others as it is."""

    headers: tuple[SecretStr, ...] = ()
    """Further headers of every request, as `Name: value`."""

    query: tuple[str, ...] = ()
    """Further query parameters of every request, as `name=value`, such as Azure's `api-version`."""

    system_role: Literal["system", "developer"] | None = None
    """The role of instructions."""

    thinking: Literal["off", "reasoning_effort", "reasoning", "thinking"] | None = None
    """How a thinking effort is sent, for models that list `efforts`: in the field `reasoning_effort`, in
    `reasoning.effort`, or as `thinking.type` `enabled` and `disabled`."""

    temperature: bool | None = None
    """Send a temperature when a call has one; switch off where only the default is accepted."""

    strict_finish: bool | None = None
    """Treat an unknown finish reason, or none before the end, as a failure instead of an answer."""

    think_tags: Literal["off", "both", "closing"] | None = None
    """Where models write their thinking into the answer: between `<think>` and `</think>` (`both`), or before a
    `</think>` alone, because the server's template has opened it (`closing`). It becomes thinking then."""


class Providers(Section):
    """The providers that can be asked."""

    glm: GlmProvider = GlmProvider()
    kimi: KimiProvider = KimiProvider()
    custom: dict[ChosenName, CustomProvider] = Field(default_factory=dict)
    """Further endpoints by a name of your choice; models are then `name/model`."""
