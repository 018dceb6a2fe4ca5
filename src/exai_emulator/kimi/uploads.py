"""Where Kimi refuses an upload, in the order of its checks."""

import msgspec

from exai_emulator.calls import Refusal
from exai_emulator.documents.kinds import video_type
from exai_emulator.pictures import picture_type
from exai_emulator.rules import EndpointRule
from exai_emulator.sent_files import SentFile
from exai_emulator.shapes import fields

__all__ = ["TOO_LARGE", "UPLOAD_RULES", "KimiUpload"]

PURPOSES = ("file-extract", "image", "video", "batch")
_GIGABYTE = 1024**3
_FORMATS = fields(
    "pdf txt csv doc docx xls xlsx ppt pptx md jpeg jpg png bmp gif svg svgz webp ico xbm dib pjp tif pjpeg avif"
    " dot apng epub tiff jfif html json mobi log go h c cpp cxx cc cs java js css jsp php py py3 asp yaml yml ini"
    " conf ts tsx"
)
"""The file name endings that the documentation lists for `file-extract`."""

TOO_LARGE = Refusal(
    "invalid_request", "File size is too large, max file size is 100MB, please confirm and re-upload the file"
)


class KimiUpload(SentFile):
    """An upload as the rules see it."""

    __slots__ = ()

    @property
    def purpose(self) -> str:
        return self.form.fields.get("purpose", "file-extract") if self.form is not None else ""


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _form(upload: KimiUpload) -> Refusal | None:
    return None if upload.file is not None else _bad("Invalid request: a form with a file is needed")


def _purpose(upload: KimiUpload) -> Refusal | None:
    if upload.purpose in PURPOSES:
        return None
    return _bad(f"Invalid purpose: only {', '.join(map(repr, PURPOSES))} accepted")


def _zero(upload: KimiUpload) -> Refusal | None:
    empty = upload.upload is not None and not upload.size
    return _bad("File size is zero, please confirm and re-upload the file") if empty else None


def _size(upload: KimiUpload) -> Refusal | None:
    return TOO_LARGE if upload.size > upload.account.state.files.max_file_bytes else None


def _count(upload: KimiUpload) -> Refusal | None:
    most = upload.account.state.files.max_files
    if len(upload.account.files) < most:
        return None
    return _bad(f"The number of files you have uploaded has reached the limit of {most}, please delete some")


def _storage(upload: KimiUpload) -> Refusal | None:
    most = upload.account.state.files.max_total_bytes
    if upload.account.files.size + upload.size <= most:
        return None
    return _bad(
        f"The size of your files has reached the limit of {most / _GIGABYTE:g} GB, please delete some"
    )


def _format(upload: KimiUpload) -> Refusal | None:
    ending = upload.file.filename.rpartition(".")[2].lower() if upload.file is not None else ""
    if upload.purpose != "file-extract" or ending in _FORMATS:
        return None
    return _bad(f"Invalid request: unsupported file format: {ending[:20]}")


def _picture(upload: KimiUpload) -> Refusal | None:
    if upload.purpose != "image" or picture_type(upload.head) is not None:
        return None
    return _bad("Invalid request: unsupported image format")


def _video(upload: KimiUpload) -> Refusal | None:
    if upload.purpose != "video" or video_type(upload.head) is not None:
        return None
    return _bad("Invalid request: unsupported video format")


def _batch_lines(upload: KimiUpload) -> Refusal | None:
    if upload.purpose != "batch" or upload.upload is None:
        return None
    try:
        lines = [msgspec.json.decode(line) for line in upload.upload.content.splitlines() if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = [None]
    fits = all(isinstance(line, dict) and isinstance(line.get("custom_id"), str) for line in lines)
    return None if fits else _bad("Invalid request: a batch file is JSON lines with a custom_id each")


def _parsing(upload: KimiUpload) -> Refusal | None:
    most = upload.account.state.files.parses_per_minute
    if most is None or upload.purpose != "file-extract":
        return None
    if upload.account.usage.minute_parses.used(upload.account.clock.now()) < most:
        return None
    return Refusal(
        "rate_limit_rpm", "File parsing is busy, please try again after 1 seconds", headers=_RETRY_AFTER
    )


_RETRY_AFTER = {"Retry-After": "1", "X-Retry-After": "1", "Msh-Cooldown-Seconds": "1"}

UPLOAD_RULES = (
    EndpointRule("kimi.files.form", "?", "an upload that is no well-formed form with a file: 400", _form),
    EndpointRule("kimi.files.purpose", "D", "another purpose: 400", _purpose),
    EndpointRule("kimi.files.zero", "D", "an empty file: 400", _zero),
    EndpointRule("kimi.files.size", "D", "a file above 100 MB: 400", _size),
    EndpointRule("kimi.files.count", "D", "a file above the 1,000 of an account: 400", _count),
    EndpointRule("kimi.files.storage", "D", "a file above the 10 GB of an account: 400", _storage),
    EndpointRule(
        "kimi.files.format",
        "?",
        "a file name ending that the documentation does not list for `file-extract`: 400",
        _format,
        default=False,
    ),
    EndpointRule("kimi.files.picture", "?", "purpose `image` for what is no picture: 400", _picture),
    EndpointRule(
        "kimi.files.video", "D?", "purpose `video` for what is no video of a documented type: 400", _video
    ),
    EndpointRule("kimi.files.batch", "D", "purpose `batch` for other than JSON lines: 400", _batch_lines),
    EndpointRule(
        "kimi.files.parsing_rate",
        "D?",
        "more documents per minute than the account's `parses_per_minute`: 429",
        _parsing,
    ),
)
