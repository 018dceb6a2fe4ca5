"""Where GLM refuses an upload, in the order of its checks."""

from dataclasses import dataclass

import msgspec

from exai_emulator.calls import Refusal
from exai_emulator.pictures import picture_type
from exai_emulator.rules import EndpointRule
from exai_emulator.sent_files import SentFile

__all__ = ["DOCUMENT_BYTES", "DOCUMENT_SUFFIXES", "UPLOAD_RULES", "USER_DATA", "GlmUpload"]

USER_DATA = "user_data"
"""The purpose of what a chat may name."""

_MEGABYTE = 1024**2
DOCUMENT_BYTES = 50 * _MEGABYTE
DOCUMENT_SUFFIXES = frozenset({"pptx", "ppt", "docx", "doc", "xlsx", "xls", "pdf"})


@dataclass(frozen=True, slots=True)
class _Purpose:
    """What may be uploaded for one purpose."""

    suffixes: frozenset[str] = frozenset()
    """File name endings; empty takes any."""
    max_bytes: int = 100 * _MEGABYTE
    max_picture_bytes: int = 100 * _MEGABYTE
    max_files: int = 1_000
    documented: bool = False
    """Whether the newest documentation names it."""


_PURPOSES = {
    "batch": _Purpose(frozenset({"jsonl"}), documented=True),
    "code-interpreter": _Purpose(
        max_bytes=20 * _MEGABYTE, max_picture_bytes=5 * _MEGABYTE, max_files=100, documented=True
    ),
    "agent": _Purpose(max_bytes=20 * _MEGABYTE, documented=True),
    "voice-clone-input": _Purpose(frozenset({"mp3", "wav"}), max_bytes=10 * _MEGABYTE, documented=True),
    USER_DATA: _Purpose(DOCUMENT_SUFFIXES, max_bytes=DOCUMENT_BYTES),
    "file-extract": _Purpose(max_bytes=50 * _MEGABYTE),
    "fine-tune": _Purpose(frozenset({"jsonl"})),
    "retrieval": _Purpose(frozenset({"doc", "docx", "pdf", "xlsx"}), max_bytes=5 * _MEGABYTE),
}


class GlmUpload(SentFile):
    """An upload as the rules see it."""

    __slots__ = ()

    @property
    def purpose(self) -> str:
        return self.form.fields.get("purpose", "") if self.form is not None else ""

    @property
    def limits(self) -> _Purpose:
        return _PURPOSES.get(self.purpose, _Purpose())


def _form(upload: GlmUpload) -> Refusal | None:
    return None if upload.file is not None else Refusal("1214", "file不能为空")


def _purpose(upload: GlmUpload) -> Refusal | None:
    return None if upload.purpose in _PURPOSES else Refusal("1210", "purpose参数错误，请检查文档")


def _documented(upload: GlmUpload) -> Refusal | None:
    return None if upload.limits.documented else Refusal("1210", "purpose参数错误，请检查文档")


def _type(upload: GlmUpload) -> Refusal | None:
    suffixes = upload.limits.suffixes
    if not suffixes or upload.filename.rpartition(".")[2].lower() in suffixes:
        return None
    return Refusal("1210", f"文件类型不支持，当前仅支持：{'、'.join(sorted(suffixes))}")


def _zero(upload: GlmUpload) -> Refusal | None:
    empty = upload.upload is not None and not upload.size
    return Refusal("1214", "文件内容不能为空") if empty else None


def _size(upload: GlmUpload) -> Refusal | None:
    limits, own = upload.limits, upload.account.state.files.max_file_bytes
    is_picture = upload.upload is not None and picture_type(upload.upload.head) is not None
    most = min(limits.max_picture_bytes if is_picture else limits.max_bytes, limits.max_bytes, own)
    return Refusal("1210", f"文件大小超过限制，最大{most // _MEGABYTE}MB") if upload.size > most else None


def _count(upload: GlmUpload) -> Refusal | None:
    most = min(upload.limits.max_files, upload.account.state.files.max_files)
    if len(upload.account.files.of(upload.purpose)) < most:
        return None
    return Refusal("1210", f"文件数量超过限制，最多{most}个")


def _batch_lines(upload: GlmUpload) -> Refusal | None:
    if upload.purpose != "batch" or upload.upload is None:
        return None
    try:
        lines = [msgspec.json.decode(line) for line in upload.upload.content.splitlines() if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = [None]
    if all(isinstance(line, dict) and _is_id(line.get("custom_id")) for line in lines):
        return None
    return Refusal("1210", "文件内容格式错误，请检查文档")


def _is_id(value: object) -> bool:
    return isinstance(value, str) and len(value) >= 6


UPLOAD_RULES = (
    EndpointRule("glm.files.form", "?", "an upload that is no well-formed form with a file: 400/1214", _form),
    EndpointRule("glm.files.purpose", "DLS", "another purpose than one of any source: 400/1210", _purpose),
    EndpointRule(
        "glm.files.purpose.documented",
        "D",
        "another purpose than batch, code-interpreter, agent and voice-clone-input: 400/1210",
        _documented,
        default=False,
    ),
    EndpointRule(
        "glm.files.type", "LS", "a type that the purpose does not take: 400/1210, in Chinese", _type
    ),
    EndpointRule("glm.files.zero", "?", "an empty file: 400/1214", _zero),
    EndpointRule("glm.files.size", "DS", "a file above the size of its purpose: 400/1210", _size),
    EndpointRule("glm.files.count", "D", "a file above the number of its purpose: 400/1210", _count),
    EndpointRule(
        "glm.files.batch",
        "D",
        "batch lines without a `custom_id` of 6 characters: 400/1210",
        _batch_lines,
    ),
)
