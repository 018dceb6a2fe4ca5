"""What is wrong with a stored file, or with storing one."""

from exai.errors import ToolFault

__all__ = [
    "ChecksumDiffers",
    "DigestDiffers",
    "DocumentUnreadable",
    "FileDamaged",
    "FileTooLarge",
    "LengthMissing",
    "LengthWrong",
    "NoText",
    "NotMatched",
    "QuotaExceeded",
    "RangeBehindEnd",
    "SecretFound",
    "SecretsUnchecked",
    "StoreBusy",
    "StoreFull",
    "StoreUnavailable",
    "UnknownFile",
    "UnknownTicket",
    "UnknownTree",
    "UnknownUpload",
    "UploadExpired",
    "UploadFinished",
    "UploadLocked",
    "WrongOffset",
    "damaged",
]


class UnknownFile(ToolFault):
    """The caller has no such file; the same for one of somebody else and for one that never was."""

    code = "unknown_file"
    http_status = 404
    fixable_by = "caller"


class FileTooLarge(ToolFault):
    """The content is larger than one file may be."""

    code = "file_too_large"
    http_status = 413
    fixable_by = "caller"


class QuotaExceeded(ToolFault):
    """The caller's files would be more, or larger together, than one owner may have."""

    code = "file_quota_exceeded"
    http_status = 413
    fixable_by = "caller"


class LengthMissing(ToolFault):
    """The length of what is to be stored was not declared, so no space can be reserved for it."""

    code = "length_missing"
    http_status = 411
    fixable_by = "caller"


class LengthWrong(ToolFault):
    """Fewer or more bytes came than were declared."""

    code = "length_wrong"
    http_status = 400
    fixable_by = "caller"


class DigestDiffers(ToolFault):
    """The bytes that came are not those whose SHA-256 was given."""

    code = "digest_differs"
    http_status = 422
    fixable_by = "caller"


class NoText(ToolFault):
    """The file is of a kind that has no text, or its document has none that can be read here."""

    code = "no_text"
    http_status = 415
    fixable_by = "caller"

    def __init__(self, message: str, why: str = "kind") -> None:
        """`why` is `kind`, `archive`, or `no_text` for a document whose pages are pictures."""
        super().__init__(message)
        self.why = why


class DocumentUnreadable(ToolFault):
    """The document is broken or encrypted, or takes more than may be spent on reading it."""

    code = "document_unreadable"
    http_status = 422
    fixable_by = "caller"

    def __init__(self, message: str, why: str) -> None:
        """`why` is the word of a refusal (`extraction.REFUSALS`)."""
        super().__init__(message)
        self.why = why


class NotMatched(ToolFault):
    """The caller has the content in another state than the one for which the request is meant."""

    code = "not_matched"
    http_status = 412
    fixable_by = "caller"


class RangeBehindEnd(ToolFault):
    """The bytes that are asked for begin behind the end of the file."""

    code = "range_behind_end"
    http_status = 416
    fixable_by = "caller"


class SecretFound(ToolFault):
    """A file that is about to leave holds a secret."""

    code = "secret_found"
    http_status = 403
    fixable_by = "caller"


class SecretsUnchecked(ToolFault):
    """A file that is about to leave as it is could not be looked through for secrets."""

    code = "secrets_unchecked"
    http_status = 403
    fixable_by = "caller"


class FileDamaged(ToolFault):
    """The stored bytes are gone or changed. Storing the same content again repairs it."""

    code = "file_damaged"
    http_status = 500


class StoreFull(ToolFault):
    """The disk has no space for it."""

    code = "store_full"
    http_status = 507


class StoreUnavailable(ToolFault):
    """The folder of the store cannot be written or read."""

    code = "store_unavailable"
    http_status = 503
    retryable = True


class StoreBusy(ToolFault):
    """The same content is being deleted just now."""

    code = "store_busy"
    http_status = 503
    retryable = True


class UnknownUpload(ToolFault):
    """The caller has no such upload here; the same for one of somebody else and for one that never was."""

    code = "unknown_upload"
    http_status = 404
    fixable_by = "caller"


class UnknownTicket(ToolFault):
    """The ticket was never issued, is spent, or has expired; it does not tell which."""

    code = "unknown_ticket"
    http_status = 404
    fixable_by = "caller"


class UnknownTree(ToolFault):
    """The caller has no such snapshot; the same for one of somebody else and for one that never was."""

    code = "unknown_tree"
    http_status = 404
    fixable_by = "caller"


class UploadExpired(ToolFault):
    """Nothing was sent to the upload for too long."""

    code = "upload_expired"
    http_status = 410
    fixable_by = "caller"


class UploadFinished(ToolFault):
    """All of the upload has come; nothing can be added."""

    code = "upload_finished"
    http_status = 403
    fixable_by = "caller"


class UploadLocked(ToolFault):
    """Another request is sending to the same upload."""

    code = "upload_locked"
    http_status = 423
    retryable = True
    fixable_by = "caller"


class WrongOffset(ToolFault):
    """The bytes do not follow those that have come."""

    code = "wrong_offset"
    http_status = 409
    fixable_by = "caller"


class ChecksumDiffers(ToolFault):
    """The bytes are not those whose checksum was sent with them."""

    code = "checksum_differs"
    http_status = 460
    fixable_by = "caller"


def damaged() -> FileDamaged:
    """Make the fault of a content that the store has not, or not as it was put."""
    return FileDamaged(
        "The stored bytes of this file are missing or changed. Store the same content again, which repairs it."
    )
