"""What a service works on after it has replied."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from exai_emulator.accounts import Account

__all__ = ["Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of such work."""

    result: Mapping[str, Any]
    begun_at: float
    """By the emulator's clock."""
    fails: bool

    @classmethod
    def begun(cls, account: "Account", result: Mapping[str, Any], *, fails: bool = False) -> "Task":
        """A task that begins now and goes as the account's state has it; one that `fails` fails anyhow."""
        return cls(result, account.clock.now(), fails or account.state.tasks_fail)

    def status(self, account: "Account") -> Literal["running", "done", "failed"]:
        if account.clock.now() - self.begun_at < account.state.task_s:
            return "running"
        return "failed" if self.fails else "done"
