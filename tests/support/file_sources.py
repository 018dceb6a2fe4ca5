"""What a consultant reads files from, for tests: allowed folders, and a store of its own."""

from pathlib import Path

from exai.consulting.files.gathering import FileSources
from exai.consulting.files.provider_reading import ProviderReader
from exai.files.heavy_work import HeavyWork
from exai.files.paths.reader import FileReader
from exai.files.paths.storing import PathStore
from exai.files.secrets.checks import SecretCheck
from exai.files.secrets.scanner import SecretScanner
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.storage.database import Database
from exai.storage.files.scans import ScanTable
from support.shelves import OpenShelf

__all__ = ["file_sources"]


def file_sources(
    database: Database, folder: Path, *roots: Path, remote: RemoteFiles | None = None, **settings: object
) -> FileSources:
    """Sources whose store is in `folder`; with `remote`, providers read documents."""
    shelf = OpenShelf(database, folder / ".store", roots=roots, **settings)
    work = HeavyWork(shelf.settings)
    scanner = SecretScanner(uses_kingfisher=False)
    secrets = SecretCheck(shelf.settings, shelf.text, ScanTable(database), scanner, shelf.clock)
    return FileSources(
        reader=FileReader(shelf.settings, work),
        paths=PathStore(shelf.shelf, shelf.settings, work),
        shelf=shelf.shelf,
        snapshots=shelf.snapshots,
        text=shelf.text,
        secrets=secrets,
        by_provider=None
        if remote is None
        else ProviderReader(remote=remote, extracts=shelf.extracts, shelf=shelf.shelf, secrets=secrets),
        settings=shelf.settings,
    )
