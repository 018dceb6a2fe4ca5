"""How fast digests are: SHA-256, which EXAI uses, against BLAKE3 and xxHash at 100 B to 64 MB."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blake3
import pytest
import xxhash

SOURCE = Path(__file__).parents[1] / "src" / "exai"
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 16_000_000, 64_000_000)
ARMS: dict[str, Callable[[bytes], Any]] = {
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "blake3": lambda data: blake3.blake3(data).digest(),
    "xxhash (XXH3, 128 bits)": lambda data: xxhash.xxh3_128(data).digest(),
}
IMPORTED = {"sha256": "hashlib.sha256", "blake3": "blake3", "xxhash (XXH3, 128 bits)": "xxhash"}


def used_in(word: str) -> list[str]:
    """The modules of EXAI that use it."""
    return sorted(
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if word in path.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("arm", ARMS)
def test_hash(benchmark: Any, arm: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    benchmark.group = "hash"
    benchmark.extra_info.update(arm=arm, bytes=size, used_in=used_in(IMPORTED[arm]))
    digest = benchmark(ARMS[arm], data)
    assert digest == ARMS[arm](data)
    assert digest != ARMS[arm](data[:-1])
