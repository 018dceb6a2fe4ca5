"""GLM, Kimi and a plain OpenAI-compatible service as HTTP servers on loopback, for tests and demonstrations.

    from exai_emulator import EmulatorOptions, running

    async with running(EmulatorOptions()) as emulator:
        ...  # speak to emulator.addresses.kimi with emulator.addresses.kimi_key

`docs/emulator.md` tells what is emulated and how much of it is proven.
"""

from exai_emulator.accounts import AccountState, FileState
from exai_emulator.emulator import Addresses, Emulator
from exai_emulator.faults import Fault
from exai_emulator.log import RequestLog, RequestRecord
from exai_emulator.options import EmulatorOptions
from exai_emulator.personas import Persona
from exai_emulator.ready_faults import READY_FAULTS, ready_fault
from exai_emulator.reporting.findings import Cites, Judging, ScriptedFinding
from exai_emulator.reporting.turns import Report
from exai_emulator.running import PortInUseError, running
from exai_emulator.scenarios import ReplyRule, Scenario, Step
from exai_emulator.tool_calls import ScriptedCall

__all__ = [
    "READY_FAULTS",
    "AccountState",
    "Addresses",
    "Cites",
    "Emulator",
    "EmulatorOptions",
    "Fault",
    "FileState",
    "Judging",
    "Persona",
    "PortInUseError",
    "ReplyRule",
    "Report",
    "RequestLog",
    "RequestRecord",
    "Scenario",
    "ScriptedCall",
    "ScriptedFinding",
    "Step",
    "ready_fault",
    "running",
]
