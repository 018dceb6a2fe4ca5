import unittest

from gridplan.graph import Circle, order, reach
from gridplan.intervals import first_fit, gaps, merged, overlaps
from gridplan.planner import NoRoom, Room, Task, plan
from gridplan.tables import clock, read_tasks, write_plan


class GraphTests(unittest.TestCase):
    def test_order(self):
        needs = {"c": ("a", "b"), "b": ("a",)}
        self.assertEqual(order(["c", "b", "a", "d"], needs), ["a", "d", "b", "c"])
        with self.assertRaises(Circle) as caught:
            order(["a", "b", "c"], {"a": ("b",), "b": ("a",)})
        self.assertEqual(str(caught.exception), "a, b")
        with self.assertRaises(KeyError):
            order(["a"], {"a": ("x",)})

    def test_reach(self):
        needs = {"a": ("b", "c"), "b": ("d",), "d": ("a",)}
        self.assertEqual(reach("a", needs), {"a", "b", "c", "d"})
        self.assertEqual(reach("c", needs), set())


class IntervalTests(unittest.TestCase):
    def test_overlaps(self):
        self.assertTrue(overlaps((0, 10), (9, 20)))
        self.assertFalse(overlaps((0, 10), (10, 20)))
        self.assertTrue(overlaps((5, 6), (0, 10)))

    def test_merged_and_gaps(self):
        self.assertEqual(merged([(5, 8), (0, 2), (2, 3), (6, 7)]), [(0, 3), (5, 8)])
        self.assertEqual(gaps((0, 10), [(2, 4), (6, 12)]), [(0, 2), (4, 6)])
        self.assertEqual(gaps((5, 10), [(0, 6)]), [(6, 10)])
        self.assertEqual(gaps((0, 10), [(12, 14)]), [(0, 10)])
        self.assertEqual(gaps((0, 10), []), [(0, 10)])

    def test_first_fit(self):
        self.assertEqual(first_fit((0, 60), [(10, 20)], 10, 0), (0, 10))
        self.assertEqual(first_fit((0, 60), [(10, 20)], 10, 5), (20, 30))
        self.assertIsNone(first_fit((0, 60), [(10, 20)], 41, 0))


class PlanTests(unittest.TestCase):
    def test_plan(self):
        rooms = [Room("hall", 50), Room("cell", 2)]
        tasks = [Task("talk", 30, 20, ("setup",)), Task("setup", 15), Task("call", 20, 2)]
        placed = plan(tasks, rooms, (540, 600))
        self.assertEqual(placed["setup"], ("cell", 540, 555))
        self.assertEqual(placed["call"], ("hall", 540, 560))
        self.assertEqual(placed["talk"], ("hall", 560, 590))
        self.assertEqual(
            write_plan(placed).splitlines()[1:],
            ["09:00,09:15,cell,setup", "09:00,09:20,hall,call", "09:20,09:50,hall,talk"],
        )

    def test_a_plan_that_fails_books_nothing(self):
        rooms = [Room("cell", 2)]
        with self.assertRaises(NoRoom):
            plan([Task("a", 30), Task("b", 40)], rooms, (0, 60))
        self.assertEqual(rooms[0].taken, [])


class TableTests(unittest.TestCase):
    def test_tasks(self):
        text = "name,minutes,seats,needs\na,30,,\nb,15,4, a ;c\n"
        self.assertEqual(read_tasks(text), [Task("a", 30), Task("b", 15, 4, ("a", "c"))])
        for row in ("a,x,1,", "a,0,1,", "a"):
            with self.assertRaisesRegex(ValueError, "line 2"):
                read_tasks("name,minutes,seats,needs\n" + row)

    def test_text(self):
        self.assertEqual(clock(61), "01:01")
        self.assertEqual(write_plan({"=x": ("r", 0, 5)}), "begins,ends,room,task\n00:00,00:05,r,'=x\n")
