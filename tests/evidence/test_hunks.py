"""Changes as hunks, made of two texts and read from unified diffs."""

from random import Random

import pytest

from exai.errors import BadArguments
from exai.evidence.git import hunks
from exai.evidence.git.hunks import Hunk, hunks_of, read_patch


def applied(old: list[str], found: list[Hunk]) -> list[str]:
    """Apply hunks to the old lines."""
    new: list[str] = []
    at = 0
    for hunk in found:
        while len(new) < hunk.first - 1:
            new.append(old[at])
            at += 1
        for line in hunk.lines:
            if line[:1] != "+":
                assert old[at] == line[1:]
                at += 1
            if line[:1] != "-":
                new.append(line[1:])
    return [*new, *old[at:]]


def test_hunks_lead_from_one_text_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(200):
        random = Random(seed)
        old = [random.choice("abcdef") for _ in range(random.randint(0, 40))]
        new = [line for line in old if random.random() > 0.2]
        for _ in range(random.randint(0, 3)):
            new.insert(random.randint(0, len(new)), random.choice("xyz"))
        monkeypatch.setattr(hunks, "MOST_COMPARED", random.choice([0, 4_000_000]))
        found = hunks_of(old, new)
        assert applied(old, found) == new
        assert bool(found) == (old != new)
        for hunk in found:
            assert new[hunk.first - 1 : hunk.last] == [line[1:] for line in hunk.lines if line[:1] != "-"]


def test_changes_that_are_near_are_one_hunk() -> None:
    old = [str(n) for n in range(40)]
    new = [f"{line}!" if line in {"5", "10", "30"} else line for line in old]
    assert [(each.first, each.last) for each in hunks_of(old, new)] == [(3, 14), (28, 34)]


def test_a_hunk_names_the_lines_that_change() -> None:
    hunk = Hunk(10, (" a", "-b", "+c", "+d", " e", "-f"))
    assert (hunk.last, hunk.changed) == (13, [11, 12, 14])


PATCH = """\
diff --git a/a.py b/a.py
--- a/a.py\t2026-01-01
+++ b/a.py
@@ -1,3 +1,3 @@ def x
 one
-two
+2
 three
\\ No newline at end of file
--- /dev/null
+++ b/new.py
@@ -0,0 +1 @@
+x
--- a/old.py
+++ /dev/null
@@ -1,2 +0,0 @@
-x
-y
"""


def test_a_patch_is_read() -> None:
    files = read_patch(PATCH.splitlines())
    assert [(file.path, file.status, file.size) for file in files] == [
        ("a.py", "changed", 2),
        ("new.py", "added", 1),
        ("old.py", "deleted", 2),
    ]
    assert files[0].hunks == [Hunk(1, (" one", "-two", "+2", " three"))]
    assert files[2].hunks == [Hunk(1, ("-x", "-y"))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no hunk"),
        ("just words\n@@ -1 +1 @@\n-a\n+b\n", "no hunk"),
        ("--- a/x\n+++ b/x\n@@ -1,5 +1,5 @@\n a\n", "broken at line"),
        ("--- a/x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "outside"),
        ("--- a/x\n+++ /etc/x\n@@ -1 +1 @@\n-a\n+b\n", "outside"),
        ("x\n" * 50_001, "more than"),
    ],
)
def test_what_is_no_patch_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadArguments, match=reason):
        read_patch(text.splitlines())
