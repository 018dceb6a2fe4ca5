import unittest

from jobqueue.backoff import is_last, pause_s
from jobqueue.table import JobTable
from jobqueue.worker import Permanent, Worker


class QueueTests(unittest.TestCase):
    def setUp(self):
        self.now = 1000.0
        self.table = JobTable()
        self.addCleanup(self.table.close)
        self.worker = Worker(self.table, lambda: self.now, lease_s=60, most_tries=3)
        self.seen = []
        self.worker.handle("note", self.seen.append)

    def test_jobs_run_in_order_when_due(self):
        self.worker.enqueue("note", {"n": 2}, delay_s=5)
        self.worker.enqueue("note", {"n": 1})
        self.assertEqual(self.worker.run_all(), 1)
        self.now += 5
        self.assertEqual(self.worker.run_all(), 1)
        self.assertEqual(self.seen, [{"n": 1}, {"n": 2}])
        self.assertEqual(self.table.counts(), {"done": 2})

    def test_a_failure_is_tried_again_after_a_pause(self):
        def fails(_):
            raise RuntimeError("down")

        self.worker.handle("call", fails)
        self.worker.enqueue("call", None)
        self.assertEqual(self.worker.run_one(), "ready")
        self.assertIsNone(self.worker.run_one())
        self.now += 2
        self.assertEqual(self.worker.run_one(), "ready")
        self.now += 3.9
        self.assertIsNone(self.worker.run_one())
        self.now += 0.1
        self.assertEqual(self.worker.run_one(), "failed")
        self.assertEqual(self.table.find("call")[0]["error"], "down")

    def test_what_cannot_be_mended_is_given_up(self):
        def fails(_):
            raise Permanent("no such user")

        self.worker.handle("call", fails)
        self.worker.enqueue("call", None)
        self.worker.enqueue("unknown", None)
        self.assertEqual([self.worker.run_one(), self.worker.run_one()], ["failed", "failed"])

    def test_a_lease_that_is_over_frees_the_job(self):
        self.worker.enqueue("note", 1)
        first = self.table.claim(self.now, 60)
        self.assertIsNone(self.table.claim(self.now + 59, 60))
        second = self.table.claim(self.now + 60, 60)
        self.assertEqual((first["tries"], second["tries"]), (1, 2))
        self.assertFalse(self.table.finish(first, self.now + 61))
        self.assertTrue(self.table.finish(second, self.now + 61))
        self.assertFalse(self.table.finish(second, self.now + 61))

    def test_a_late_result_does_not_count(self):
        self.worker.enqueue("note", 1)
        job = self.table.claim(self.now, 60)
        self.assertFalse(self.table.fail(job, self.now + 60, "late"))

    def test_find(self):
        for n in range(3):
            self.worker.enqueue("note", n)
        self.assertEqual([job["id"] for job in self.table.find("note", "newest", 2)], [3, 2])
        self.assertEqual(self.table.find("x' OR '1'='1"), [])
        with self.assertRaises(ValueError):
            self.table.find("note", "id; DROP TABLE jobs")

    def test_pauses(self):
        self.assertEqual([pause_s(n) for n in (1, 2, 3)], [2, 4, 8])
        self.assertEqual(pause_s(20), 300)
        with self.assertRaises(ValueError):
            pause_s(0)
        self.assertEqual([is_last(2, 3), is_last(3, 3)], [False, True])
