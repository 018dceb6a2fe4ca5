"""A daemon that has no job: says, once it has looked for some, what it has imported and which threads it has."""

import asyncio
import json
import os
import signal
import sys
import threading
from typing import Any

from exai.app.daemon import run_daemon
from exai.app.upload_deletions import UploadDeletions
from exai.config import Settings

_start_jobs = UploadDeletions.start_jobs


async def _watched(self: UploadDeletions, jobs: Any) -> int:
    begun = await _start_jobs(self, jobs)
    imported = [name for name in ("dbos", "psycopg", "croniter", "yaml") if name in sys.modules]
    threads = [thread.name for thread in threading.enumerate() if "dbos" in thread.name]
    print(json.dumps({"begun": begun, "imported": imported, "threads": threads}), flush=True)
    await _ready.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    return begun


if __name__ == "__main__":
    UploadDeletions.start_jobs = _watched  # type: ignore[method-assign]
    _ready = asyncio.Event()
    settings = Settings.model_validate_json(sys.argv[1])
    asyncio.run(run_daemon(settings, demo=False, on_ready=lambda *_: _ready.set()))
