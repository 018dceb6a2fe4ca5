"""Token counts and the prompt cache: simple, deterministic, and never claimed to equal a real tokenizer."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator

__all__ = ["PrefixCache", "count_tokens", "cut_to_tokens", "pieces_of"]

_BYTES_PER_TOKEN = 4


def count_tokens(text: str) -> int:
    """Tokens of `text`: a quarter per Latin letter, three quarters per CJK character, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def cut_to_tokens(text: str, tokens: int) -> str:
    """The longest beginning of `text` that counts at most `tokens`."""
    if text.isascii():
        return text[: tokens * _BYTES_PER_TOKEN]
    return text.encode("utf-8", "surrogatepass")[: tokens * _BYTES_PER_TOKEN].decode("utf-8", "ignore")


def pieces_of(text: str, characters: int = 0) -> Iterator[str]:
    """`text` as a stream delivers it: about one token at a time, or so many characters."""
    step = characters or (_BYTES_PER_TOKEN if text.isascii() else 2)
    for start in range(0, len(text), step):
        yield text[start : start + step]


def _common_prefix_length(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class PrefixCache:
    """The prompts of one account, asked for the longest beginning that a new prompt shares with any.

    The prompts are kept sorted: the one that shares most stands next to the new
    one's place, so a look-up costs two comparisons however many are kept.
    """

    def __init__(self, *, prompts: int = 512, characters: int = 16_000_000) -> None:
        self._prompts = prompts
        self._characters = characters
        self._held = 0
        self._sorted: list[str] = []
        self._by_age: deque[str] = deque()

    def shared_prefix(self, prompt: str) -> str:
        """What `prompt` has in common with an earlier prompt; then `prompt` is remembered."""
        place = bisect_left(self._sorted, prompt)
        if place < len(self._sorted) and self._sorted[place] == prompt:
            return prompt
        shared = max(
            (_common_prefix_length(prompt, near) for near in self._sorted[max(0, place - 1) : place + 1]),
            default=0,
        )
        self._remember(prompt)
        return prompt[:shared]

    def _remember(self, prompt: str) -> None:
        insort(self._sorted, prompt)
        self._by_age.append(prompt)
        self._held += len(prompt)
        while len(self._by_age) > self._prompts or (self._held > self._characters and len(self._by_age) > 1):
            oldest = self._by_age.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]
            self._held -= len(oldest)
