"""Checks of the store of files: room on the disk, and the bucket where one is configured."""

import asyncio
import hashlib
import shutil
from importlib.util import find_spec

from exai.config.sources import Loaded
from exai.doctor.findings import Finding, ok, problem, warning
from exai.files.faults import StoreUnavailable
from exai.files.store.s3 import open_bucket

__all__ = ["check_bucket", "check_file_store"]

NAME = "file store"
INSTALL = "Run `pip install 'exai[s3]'`."


async def check_file_store(loaded: Loaded) -> list[Finding]:
    """Check that what is received has room on the disk, and that what a bucket needs is installed."""
    settings, folder = loaded.settings.files, loaded.settings.data_dir / "files"
    if settings.store != "folder" and find_spec("obstore") is None:
        return [problem(NAME, f"`files.store` is {settings.store}, and `obstore` is not installed", INSTALL)]
    free = await asyncio.to_thread(_free, loaded)
    keep = settings.keep_free_bytes
    if free is None:
        return []
    if free < keep:
        message = f"{folder} has {free // 2**20} MiB free, and `files.keep_free_bytes` keeps {keep // 2**20}"
        return [problem(NAME, message, "Make room on that disk; until then no file can be stored.")]
    if free - keep < settings.max_upload_bytes:
        message = f"{folder} has {(free - keep) // 2**20} MiB for files, less than one may have"
        return [warning(NAME, message, "Make room, or lower `files.max_upload_bytes`.")]
    return [ok(NAME, f"{folder} has {(free - keep) // 2**20} MiB for files")]


async def check_bucket(loaded: Loaded) -> list[Finding]:
    """Check that the bucket answers and accepts the key, by asking for a content that nobody has."""
    settings = loaded.settings.files
    if settings.store == "folder" or find_spec("obstore") is None:
        return []
    try:
        await open_bucket(settings).size(hashlib.sha256(b"nobody has this").hexdigest())
    except StoreUnavailable as fault:
        return [
            problem(
                NAME, f"{settings.store}: {str(fault).rstrip('.')}", "Check `files.store` and `files.s3`."
            )
        ]
    return [ok(NAME, f"{settings.store} answers and accepts the key")]


def _free(loaded: Loaded) -> int | None:
    folder = loaded.settings.data_dir / "files"
    nearest = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
    return None if nearest is None else shutil.disk_usage(nearest).free
