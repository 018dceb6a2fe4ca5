"""What the store of files has, for the metrics: read from the database by a duty, as a scrape waits for nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from exai.runtime.samples import Sample
from exai.storage.files.measures import FileSums, StoreSums

__all__ = ["StoreMeasures"]

SHARES = (0.5, 0.9, 1.0)
"""Of a quota; owners are counted from each on."""


class StoreMeasures:
    """Keeps the latest sums."""

    def __init__(self, sums: FileSums, folder: Path) -> None:
        self._sums = sums
        self._folder = folder
        self._latest = StoreSums({}, {}, ())

    async def refresh(self) -> None:
        """Read the sums anew.

        Raises:
            StoreFailed: the database is out of reach; the latest ones stay.
        """
        self._latest = await self._sums.read()

    def samples(self) -> list[Sample]:
        """Return the metrics of the store."""
        return list(self._samples())

    def _samples(self) -> Iterator[Sample]:
        latest = self._latest
        for state, (number, size) in latest.contents.items():
            labels = (("state", state),)
            yield Sample("file_contents", "Stored contents, by state.", number, labels)
            yield Sample("file_content_bytes", "Their bytes; each content counts once.", size, labels)
        for (provider, status), number in latest.copies.items():
            of = (("provider", provider), ("status", status))
            yield Sample("file_copies", "Objects at providers that rows know of.", number, of)
        shares = latest.quota_shares
        for share in SHARES:
            label = (("from_share", f"{share:g}"),)
            help_text = "Owners whose files take this share of their quota, or more."
            yield Sample("file_owners", help_text, sum(each >= share for each in shares), label)
        yield Sample(
            "file_quota_share_max", "The largest share of a quota that is taken.", max(shares, default=0.0)
        )
        if (free := _free(self._folder)) is not None:
            yield Sample("file_store_free_bytes", "Free space on the disk on which files are received.", free)


def _free(folder: Path) -> int | None:
    for each in (folder, *folder.parents):
        try:
            return shutil.disk_usage(each).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
