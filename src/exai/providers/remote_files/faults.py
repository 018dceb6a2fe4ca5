"""What is wrong with a copy at a provider, or with sending one."""

from exai.errors import ToolFault

__all__ = [
    "CopyUnwanted",
    "FileEmpty",
    "FileNotReadYet",
    "FileTooLargeForProvider",
    "FileUnreadable",
    "ProviderFilesFull",
    "PurposeUnknown",
]


class FileTooLargeForProvider(ToolFault):
    """The content is larger than the provider takes for this purpose."""

    code = "file_too_large"
    http_status = 413
    fixable_by = "caller"


class FileEmpty(ToolFault):
    """There is nothing to send."""

    code = "file_empty"
    http_status = 400
    fixable_by = "caller"


class PurposeUnknown(ToolFault):
    """The provider keeps no files, or none for this purpose."""

    code = "ability_missing"
    http_status = 400
    fixable_by = "caller"


class FileUnreadable(ToolFault):
    """The provider took the file and could not read it."""

    code = "file_unreadable"
    http_status = 422
    fixable_by = "caller"


class FileNotReadYet(FileUnreadable):
    """The provider did not read the file in the time of the call."""


class ProviderFilesFull(ToolFault):
    """The account at the provider holds as many files, or bytes, as it may."""

    code = "provider_files_full"
    http_status = 507
    retryable = True


class CopyUnwanted(ToolFault):
    """The file was removed while it was being sent; what arrived is deleted."""

    code = "unknown_file"
    http_status = 404
    fixable_by = "caller"
