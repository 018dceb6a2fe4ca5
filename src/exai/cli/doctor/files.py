"""Checks of the store of files: room, the bucket where one is configured, what is stored, secrets, and jobs."""

import asyncio
import hashlib
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from exai.cli.doctor.findings import Finding, ok, problem, warning
from exai.config.sources import Loaded
from exai.errors import StartFault
from exai.files.faults import StoreUnavailable
from exai.files.secrets.scanner import has_kingfisher
from exai.files.store.s3 import open_bucket
from exai.storage.database import Database, inspect_schema
from exai.storage.files.copy_rows import Status
from exai.storage.files.measures import FileSums, StoreSums
from exai.storage.files.rows import DAMAGED, Quota
from exai.storage.jobs_file import JOBS_FILE_NAME, dead_jobs

__all__ = ["check_bucket", "check_dead_jobs", "check_file_store", "check_secret_check", "check_stored_files"]

NAME = "file store"
NEAR_QUOTA = 0.9
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


async def check_stored_files(loaded: Loaded) -> list[Finding]:
    """Check for damaged contents, owners at their quota, and copies at providers whose deletion was given up."""
    settings = loaded.settings
    try:
        schema = await inspect_schema(settings.database, settings.data_dir)
        if schema.version != schema.needed:
            return []
        database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    except StartFault:
        return []
    try:
        quota = Quota(settings.files.max_owner_bytes, settings.files.max_owner_files)
        return list(_stored(await FileSums(database, quota).read()))
    finally:
        await database.close()


def _stored(sums: StoreSums) -> Iterator[Finding]:
    name = "stored files"
    if damaged := sums.contents.get(DAMAGED, (0, 0))[0]:
        message = f"{damaged} stored contents are missing or changed"
        yield problem(
            name, message, "`exai files check` lists them; put the same content again, which repairs it."
        )
    undeleted = {
        provider: count for (provider, status), count in sums.copies.items() if status == Status.UNDELETED
    }
    for provider, count in undeleted.items():
        message = f"{count} files at {provider} could not be deleted, and no job tries it any more"
        yield problem(name, message, "See `exai files check`, and docs/operations.md under jobs.")
    if near := sum(share >= NEAR_QUOTA for share in sums.quota_shares):
        message = f"{near} owners have {NEAR_QUOTA:.0%} of their quota or more"
        yield warning(
            name,
            message,
            "Raise `files.max_owner_bytes` or `files.max_owner_files`, or have them remove files.",
        )
    if not damaged and not undeleted:
        number, size = (
            (sum(column) for column in zip(*sums.contents.values(), strict=True)) if sums.contents else (0, 0)
        )
        yield ok(name, f"{number} contents of {size // 2**20} MiB, none known to be damaged")


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


async def check_secret_check(loaded: Loaded) -> list[Finding]:
    """Tell by which rules secrets are looked for in what is about to leave."""
    name = "secret scan"
    if loaded.settings.files.secrets == "off":
        return [
            warning(
                name,
                "files leave without a look for secrets",
                "Set `files.secrets` to redact, block or warn.",
            )
        ]
    if has_kingfisher():
        return [ok(name, "the built-in rules and those of Kingfisher")]
    return [
        ok(
            name,
            "the built-in rules; `pip install 'exai[secrets]'` adds Kingfisher's, of several hundred services",
        )
    ]


async def check_dead_jobs(loaded: Loaded) -> list[Finding]:
    """Check for jobs that were given up: what they were to do is still undone."""
    settings = loaded.settings
    file = settings.jobs.file or settings.data_dir / JOBS_FILE_NAME
    dead = await asyncio.to_thread(dead_jobs, file)
    if dead is None:
        return [problem("jobs", f"{file} cannot be read", "See docs/operations.md under jobs.")]
    return [
        problem(
            "jobs",
            f"{count} jobs of the kind {kind} were given up",
            "The log says why (`job is dead`); what to do is in docs/operations.md under jobs.",
        )
        for kind, count in dead.items()
    ]


def _free(loaded: Loaded) -> int | None:
    folder = loaded.settings.data_dir / "files"
    nearest = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
    return None if nearest is None else shutil.disk_usage(nearest).free
