"""Where a provider is asked: its permit, the call's deadline, the stage timings, the fact afterwards."""

import asyncio

from exai.bus import EventBus
from exai.callers import Caller
from exai.clock import Clock
from exai.costs import Bill
from exai.dispatch.admission import Admission
from exai.errors import ExaiError, ProviderFault
from exai.events import ProviderCallEnded
from exai.providers.base import Completion, DeltaKind, OnDelta, Prompt
from exai.providers.routing import Roster

__all__ = ["ModelAsker"]


class ModelAsker:
    """Asks models on behalf of one call.

    `timings` gathers where the time went, in milliseconds; `bill` what the requests used and cost.
    """

    def __init__(
        self,
        admission: Admission,
        roster: Roster,
        bus: EventBus,
        clock: Clock,
        caller: Caller,
        deadline: float,
    ) -> None:
        self._admission = admission
        self._roster = roster
        self._bus = bus
        self._clock = clock
        self._caller = caller
        self._deadline = deadline
        self.timings: dict[str, float] = {}
        self.bill = Bill()

    async def __call__(self, prompt: Prompt, on_delta: OnDelta | None = None) -> Completion:
        """One answer of the prompt's model.

        Raises:
            ProviderFault: the provider did not answer as asked.
            Overloaded: no permit for this model became free in time.
        """
        model = prompt.model
        provider = self._roster.providers[model.provider]
        heard = False

        def listen(kind: DeltaKind, text: str) -> None:
            nonlocal heard
            heard = True
            if on_delta is not None:
                on_delta(kind, text)

        # Without a listener the adapter may ask for the whole answer at once, which costs less.
        listener = None if on_delta is None else listen

        async with self._admission.model_permit(self._caller, model.provider, model.name) as permit:
            self._add("provider_sem_wait_ms", permit.waited_s * 1000)
            began = self._clock.monotonic()
            outcome = "ok"
            try:
                completion = await provider.complete(prompt, deadline=self._deadline, on_delta=listener)
            except asyncio.CancelledError:
                outcome = "cancelled"
                raise
            except ExaiError as fault:
                outcome = fault.code
                if isinstance(fault, ProviderFault) and fault.usage is not None:
                    self.bill.add(model.cost(fault.usage), fault.usage)
                raise
            except Exception:
                outcome = "internal_error"
                raise
            finally:
                elapsed = self._clock.monotonic() - began
                if outcome != "ok":
                    self._add("generation_ms" if heard else "first_token_ms", elapsed * 1000)
                self._bus.publish(ProviderCallEnded(model.provider, model.name, outcome, elapsed))
        self.bill.add(model.cost(completion.usage), completion.usage)
        self._add("connect_ms", completion.timings.connect_ms)
        self._add("first_token_ms", completion.timings.first_token_ms)
        self._add("generation_ms", completion.timings.generation_ms)
        return completion

    def _add(self, stage: str, milliseconds: float) -> None:
        self.timings[stage] = self.timings.get(stage, 0.0) + milliseconds
