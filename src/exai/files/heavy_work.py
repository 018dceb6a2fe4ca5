"""The threads of what takes long in a call, by kind: reading files, decoding pictures, going over long texts."""

from exai import config
from exai.files.pictures.work import PictureWork
from exai.runtime.worker_pool import WorkerPool

__all__ = ["HeavyWork"]


class HeavyWork:
    """One for all calls. A pool has no thread before its first work."""

    def __init__(self, settings: config.Files) -> None:
        self.files = WorkerPool("files", threads=8, per_caller=2)
        """Reads from disk, which may be slow or hang, as a network's does."""
        self.texts = WorkerPool("texts", threads=2, per_caller=1)
        """Goes over megabytes in memory: some milliseconds each, which the event loop has no time for."""
        self.pictures = PictureWork(settings)

    def close(self) -> None:
        """Begin nothing any more."""
        self.files.close()
        self.texts.close()
        self.pictures.close()
