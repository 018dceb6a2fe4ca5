"""The table of jobs. A worker holds a job until its lease ends; what it writes later does not count."""

import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'ready',
    tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, lease REAL NOT NULL DEFAULT 0, error TEXT
)
"""
ORDERS = {"due": "due, id", "newest": "id DESC"}


class JobTable:
    """Jobs of one database."""

    def __init__(self, path=":memory:"):
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute(SCHEMA)

    def add(self, kind, payload, due):
        """Add a job; return its id."""
        row = self._db.execute("INSERT INTO jobs (kind, payload, due) VALUES (?, ?, ?)", (kind, payload, due))
        return row.lastrowid

    def claim(self, now, lease_s):
        """Take the job that is due first, and count the try; None when there is none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            row = self._db.execute(
                "SELECT * FROM jobs WHERE due <= ? AND (state = 'ready' OR (state = 'running' AND lease <= ?))"
                " ORDER BY due, id LIMIT 1",
                (now, now),
            ).fetchone()
            if row is not None:
                self._db.execute(
                    "UPDATE jobs SET state = 'running', tries = tries + 1, lease = ? WHERE id = ?",
                    (now + lease_s, row["id"]),
                )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return None if row is None else {**dict(row), "tries": row["tries"] + 1}

    def finish(self, job, now):
        """Mark a job as done; return whether its lease still held."""
        return self._end(job, now, "done", None, job["due"])

    def retry(self, job, now, due, error):
        """Let a job be tried again; return whether its lease still held."""
        return self._end(job, now, "ready", error, due)

    def fail(self, job, now, error):
        """Give a job up; return whether its lease still held."""
        return self._end(job, now, "failed", error, job["due"])

    def _end(self, job, now, state, error, due):
        changed = self._db.execute(
            "UPDATE jobs SET state = ?, error = ?, due = ? WHERE id = ? AND state = 'running' AND tries = ?"
            " AND lease > ?",
            (state, error, due, job["id"], job["tries"], now),
        )
        return changed.rowcount == 1

    def find(self, kind, order="due", limit=50):
        """Return jobs of a kind."""
        if order not in ORDERS:
            raise ValueError(f"unknown order: {order}")
        rows = self._db.execute(
            f"SELECT * FROM jobs WHERE kind = ? ORDER BY {ORDERS[order]} LIMIT ?", (kind, limit)
        )
        return [dict(row) for row in rows]

    def counts(self):
        """Return the number of jobs by state."""
        return dict(self._db.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())

    def close(self):
        """Close the database."""
        self._db.close()
