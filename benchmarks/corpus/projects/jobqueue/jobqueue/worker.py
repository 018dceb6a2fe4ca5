"""Runs jobs, one after the other."""

import json

from jobqueue.backoff import is_last, pause_s


class Permanent(Exception):
    """A failure that no further try will mend."""


class Worker:
    """Runs the jobs of a table by handlers for their kinds."""

    def __init__(self, table, clock, lease_s=60, most_tries=5):
        self._table = table
        self._clock = clock
        self._lease_s = lease_s
        self._most_tries = most_tries
        self._handlers = {}

    def handle(self, kind, handler):
        """Use a handler for a kind of job."""
        self._handlers[kind] = handler

    def enqueue(self, kind, payload, delay_s=0.0):
        """Add a job that is due after a delay; the payload is anything that JSON holds."""
        return self._table.add(kind, json.dumps(payload), self._clock() + delay_s)

    def run_one(self):
        """Run the job that is due first; return its state afterwards, or None when none is due."""
        job = self._table.claim(self._clock(), self._lease_s)
        if job is None:
            return None
        handler = self._handlers.get(job["kind"])
        if handler is None:
            return self._give_up(job, f"no handler for {job['kind']}")
        try:
            handler(json.loads(job["payload"]))
        except Permanent as error:
            return self._give_up(job, str(error))
        except Exception as error:
            if is_last(job["tries"], self._most_tries):
                return self._give_up(job, str(error))
            now = self._clock()
            held = self._table.retry(job, now, now + pause_s(job["tries"]), str(error))
            return "ready" if held else "lost"
        return "done" if self._table.finish(job, self._clock()) else "lost"

    def run_all(self, most=1000):
        """Run what is due; return how many jobs that were."""
        count = 0
        while count < most and self.run_one() is not None:
            count += 1
        return count

    def _give_up(self, job, error):
        return "failed" if self._table.fail(job, self._clock(), error) else "lost"
