"""Keeps a process that coverage.py traces from hanging when threads end, on CPython 3.11.

The tracer keeps a `WeakKeyDictionary` by greenlets. The greenlet of a thread that has ended is freed inside of a
pending call of the interpreter, and there the dictionary's callback runs, which is Python code. CPython 3.11 asks for
pending calls again and again before a traced function begins (`DO_TRACING` in `Python/ceval.c`), and makes none within
another: when a second thread ends meanwhile, it asks for ever.
"""

import sys
import weakref
from typing import TypeVar

__all__ = ["KeyedWeakly", "let_traced_threads_end"]

K = TypeVar("K")
V = TypeVar("V")


class KeyedWeakly(weakref.WeakKeyDictionary[K, V]):
    """Forgets a key without running Python code. It may not be iterated while keys are freed."""

    def __init__(self) -> None:
        super().__init__()
        self._remove = self.data.__delitem__  # type: ignore[attr-defined] # typeshed has the public face


def let_traced_threads_end() -> None:
    """Give tracers of threads that are yet to begin such a dictionary, where one runs."""
    if sys.version_info < (3, 12) and sys.gettrace() is not None:
        weakref.WeakKeyDictionary = KeyedWeakly  # type: ignore[misc,assignment]
