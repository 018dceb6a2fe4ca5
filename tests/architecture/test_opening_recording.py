"""What `exai stdio` answers before its engine stands is what the engine would answer."""

from checks.opening import recorded, rendered
from mcp_types import PROTOCOL_VERSION_META_KEY

from exai.transports.opening import ENVELOPE_KEY, RECORDING


async def test_the_recording_is_of_these_tools() -> None:
    now = rendered(await recorded())
    assert RECORDING.read_text(encoding="utf-8") == now, "tools have changed: run `python -m checks.opening`"


def test_the_envelope_is_known_by_its_key() -> None:
    assert ENVELOPE_KEY == PROTOCOL_VERSION_META_KEY
