import tempfile
import unittest
from pathlib import Path

from tinycache.lru import LruCache
from tinycache.memo import memoized, rate, warmed
from tinycache.store import DamagedStore, Store


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class CacheTests(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        self.cache = LruCache(2, 10, self.clock)

    def test_the_least_recent_goes(self):
        self.cache.put("a", 1)
        self.cache.put("b", 2)
        self.cache.get("a")
        self.cache.put("c", 3)
        self.assertEqual(self.cache.items(), [("a", 1), ("c", 3)])
        self.assertEqual(len(self.cache), 2)

    def test_age(self):
        self.cache.put("a", 1)
        self.clock.now += 9
        self.assertEqual(self.cache.get("a"), 1)
        self.clock.now += 1
        self.assertEqual(self.cache.items(), [])
        self.assertEqual(self.cache.get("a", "none"), "none")
        self.assertEqual((self.cache.hits, self.cache.misses), (1, 1))
        self.assertEqual(len(self.cache), 0)

    def test_a_new_value_is_young(self):
        self.cache.put("a", 1)
        self.clock.now += 6
        self.cache.put("a", 2)
        self.clock.now += 6
        self.assertEqual(self.cache.get("a"), 2)

    def test_purge(self):
        self.cache.put("a", 1)
        self.clock.now += 10
        self.cache.put("b", 2)
        self.assertEqual(self.cache.purge(), 1)
        self.assertEqual(self.cache.items(), [("b", 2)])

    def test_none_is_a_value(self):
        calls = []
        for _ in range(2):
            self.assertIsNone(self.cache.get_or_make("k", calls.append))
        self.assertEqual(calls, ["k"])

    def test_size(self):
        with self.assertRaises(ValueError):
            LruCache(0, 1, self.clock)
        one = LruCache(1, 1, self.clock)
        one.put("a", 1)
        one.put("b", 2)
        self.assertEqual(one.items(), [("b", 2)])

    def test_memo(self):
        calls = []

        @memoized(self.cache)
        def add(a, b=0):
            calls.append((a, b))
            return a + b

        self.assertEqual([add(1, b=2), add(1, b=2), add(2)], [3, 3, 2])
        self.assertEqual(len(calls), 2)
        self.assertAlmostEqual(rate(self.cache), 1 / 3)
        self.assertEqual(rate(LruCache(1, 1, self.clock)), 0.0)

    def test_warmed_tells_failures(self):
        failed = warmed(self.cache, lambda key: 10 // key, [5, 0])
        self.assertEqual(list(failed), [0])
        self.assertEqual(self.cache.get(5), 2)

    def test_store(self):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder, "cache.json"))
            self.assertEqual(store.load_into(self.cache), 0)
            self.cache.put("a", [1])
            store.save(self.cache)
            other = LruCache(5, 10, self.clock)
            self.assertEqual(store.load_into(other), 1)
            self.assertEqual(other.get("a"), [1])
            self.assertEqual([path.name for path in Path(folder).iterdir()], ["cache.json"])
            Path(folder, "cache.json").write_text("{")
            with self.assertRaises(DamagedStore):
                store.load_into(other)
