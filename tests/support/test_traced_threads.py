"""What coverage's tracer keys by greenlets is forgotten inside of a pending call while another one waits."""

import subprocess
import sys

import pytest

FREED_IN_A_PENDING_CALL = """
import ctypes, sys
from support.traced_threads import KeyedWeakly

callback = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
ctypes.pythonapi.Py_AddPendingCall.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

class Key:
    pass

keys, kept = [Key()], KeyedWeakly()
kept[keys[0]] = 1
another = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p)  # in C, as those of ended threads are

def free(_):
    ctypes.pythonapi.Py_AddPendingCall(another, None)
    keys.clear()
    return 0

freeing = callback(free)
sys.settrace(lambda *_: None)
ctypes.pythonapi.Py_AddPendingCall(ctypes.cast(freeing, ctypes.c_void_p), None)
for _ in range(1_000):
    pass
sys.settrace(None)
print(len(kept))
"""


@pytest.mark.timeout(60)
def test_a_key_is_forgotten_inside_of_a_pending_call() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FREED_IN_A_PENDING_CALL],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
        cwd="tests",
    )
    assert ended.stdout == "0\n"
