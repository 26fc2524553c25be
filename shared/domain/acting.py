"""Who is behind what happens now, for whoever writes it down: known where a request came in, wherever it leads."""

from contextvars import ContextVar
from dataclasses import dataclass, replace

from shared.domain.identity import Principal
from shared.domain.leases import Event


@dataclass(frozen=True, slots=True)
class Acting:
    """A caller, the trust domain that its name is of, and the trace of its request ("": none)."""

    caller: Principal | None = None
    trust_domain: str = ""
    trace: str = ""

    @property
    def uri(self) -> str:
        """The caller's name as its certificate has it; "" for nobody, such as a timer."""
        return self.caller.uri(self.trust_domain) if self.caller else ""


acting: ContextVar[Acting] = ContextVar("acting", default=Acting())  # noqa: B039 (it is frozen)


def signed(event: Event) -> Event:
    """The event with who is behind it."""
    now = acting.get()
    return replace(event, by=now.uri, serial=now.caller.serial if now.caller else "", trace=now.trace)
