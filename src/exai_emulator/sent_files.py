"""A file that a request brings, as the rules of either provider see it."""

from dataclasses import dataclass

from exai_emulator.accounts import Account
from exai_emulator.forms import Form, FormFile
from exai_emulator.uploads import Upload

__all__ = ["SentFile"]


@dataclass(frozen=True, slots=True)
class SentFile:
    """The form of an upload, and whose it is."""

    account: Account
    form: Form | None

    @property
    def file(self) -> FormFile | None:
        return self.form.files.get("file") if self.form is not None else None

    @property
    def upload(self) -> Upload | None:
        return self.file.upload if self.file is not None else None

    @property
    def filename(self) -> str:
        return self.file.filename if self.file is not None else ""

    @property
    def size(self) -> int:
        return self.upload.size if self.upload is not None else 0

    @property
    def head(self) -> bytes:
        return self.upload.head if self.upload is not None else b""
