"""What fires a function: the triggers this server can serve, read off Azure's decorators."""

from dataclasses import dataclass
from typing import Any

from selfhost.errors import CannotStart


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """`route` is a template of Azure's without the prefix; no `methods` means any."""

    name: str
    parameter: str
    route: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """`schedule` as written: NCRONTAB, or `%SETTING%`."""

    name: str
    parameter: str
    schedule: str
    run_on_startup: bool


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """`queue` as written; nothing here polls it."""

    name: str
    parameter: str
    queue: str


Trigger = HttpTrigger | TimerTrigger | QueueTrigger


def trigger_of(function: Any) -> Trigger:
    """The trigger of an `azure.functions.Function`.

    Raises CannotStart where serving the function would differ from Azure: another kind of trigger
    or binding, or an HTTP function that wants a key (only Azure's host knows function keys).
    """
    name = str(function.get_function_name())
    trigger = function.get_trigger()
    for binding in function.get_bindings():
        if binding is not trigger and binding.type != "http":
            raise CannotStart(f"function {name}: a binding of type {binding.type} cannot be served here")
    match trigger.type:
        case "httpTrigger":
            if _text(trigger.auth_level).lower() != "anonymous":
                raise CannotStart(f"function {name}: its auth_level must be ANONYMOUS, there are no keys here")
            methods = tuple(_text(method).upper() for method in trigger.methods or ())
            return HttpTrigger(name, trigger.name, name if trigger.route is None else trigger.route, methods)
        case "timerTrigger":
            return TimerTrigger(name, trigger.name, trigger.schedule, bool(trigger.run_on_startup))
        case "queueTrigger":
            return QueueTrigger(name, trigger.name, trigger.queue_name)
        case kind:
            raise CannotStart(f"function {name}: a {kind} cannot be served here")


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
