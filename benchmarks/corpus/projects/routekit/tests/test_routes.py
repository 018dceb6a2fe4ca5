import tempfile
import unittest
from pathlib import Path

from routekit.auth import Sessions, needs_sign_in, owner_only
from routekit.pages import page, redirect, static
from routekit.router import Request, Response, Router


def hello(request):
    return Response(200, f"hello {request.params.get('user', 'all')}")


class RouterTests(unittest.TestCase):
    def setUp(self):
        self.now = 1000
        self.sessions = Sessions("secret", lambda: self.now, lasts_s=60)
        self.router = Router()
        self.router.guard(needs_sign_in(self.sessions))
        self.router.add("get", "/", hello)
        self.router.add("GET", "/users/{user}", owner_only(hello))
        self.router.add("POST", "/users/{user}", owner_only(hello))

    def ask(self, path, user=None, method="GET"):
        headers = {} if user is None else {"X-Session": self.sessions.begin(user)}
        return self.router.answer(Request(method, path, headers))

    def test_routes(self):
        self.assertEqual(self.ask("/").status, 200)
        self.assertEqual(self.ask("/users/ann", "ann").body, "hello ann")
        self.assertEqual(self.ask("/users/ann/", "ann", "post").status, 200)
        self.assertEqual(self.ask("/nowhere", "ann").status, 404)
        self.assertEqual(self.ask("/users", "ann").status, 404)
        refused = self.ask("/users/ann", "ann", "DELETE")
        self.assertEqual((refused.status, refused.headers["Allow"]), (405, "GET, POST"))

    def test_sign_in(self):
        self.assertEqual(self.ask("/users/ann").status, 401)
        self.assertEqual(self.ask("/users/ann", "bob").status, 403)

    def test_sessions(self):
        token = self.sessions.begin("ann")
        self.assertEqual(self.sessions.user_of(token), "ann")
        self.assertIsNone(self.sessions.user_of(token.replace("ann", "bob")))
        self.assertIsNone(self.sessions.user_of("ann:1"))
        self.assertIsNone(self.sessions.user_of("ann:x:y"))
        self.now += 59
        self.assertEqual(self.sessions.user_of(token), "ann")
        self.now += 1
        self.assertIsNone(self.sessions.user_of(token))
        with self.assertRaises(ValueError):
            self.sessions.begin("a:b")

    def test_pages(self):
        shown = page("<b>", ["1 < 2"])
        self.assertEqual(shown.body, "<h1>&lt;b&gt;</h1><ul><li>1 &lt; 2</li></ul>")
        self.assertEqual(shown.headers["Content-Type"], "text/html")

    def test_files(self):
        with tempfile.TemporaryDirectory() as outer:
            folder = Path(outer, "static")
            folder.mkdir()
            Path(outer, "secret.txt").write_text("no")
            Path(folder, "a.css").write_text("p {}")
            Path(folder, "big.txt").write_text("x" * 1_000_001)
            show = static(folder)
            good = show(Request("GET", "/", params={"name": "a.css"}))
            self.assertEqual((good.status, good.headers), (200, {"Content-Type": "text/css"}))
            self.assertEqual(show(Request("GET", "/", params={"name": "../secret.txt"})).status, 404)
            self.assertEqual(show(Request("GET", "/", params={"name": "none"})).status, 404)
            self.assertEqual(show(Request("GET", "/", params={"name": "big.txt"})).status, 413)

    def test_redirects_stay_here(self):
        for target, expected in (("/me", "/me"), ("//x.invalid", "/"), ("https://x.invalid", "/"), ("/\\x", "/")):
            answer = redirect(Request("GET", "/", params={"next": target}))
            self.assertEqual((answer.status, answer.headers["Location"]), (303, expected))
        self.assertEqual(redirect(Request("GET", "/")).headers["Location"], "/")
