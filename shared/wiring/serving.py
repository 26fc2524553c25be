"""Which functions this process serves; nothing else of them is imported."""

import os
import pkgutil
from collections.abc import Iterator
from importlib import import_module

import azure.functions as func

from shared.edge import settings
from shared.edge.config import SettingError

WITHOUT_STORE = {"greet", "show_openapi"}
STEERING = {"list_leases", "show_lease", "list_events", "hold_lease", "end_lease"}
OPEN = {"enroll", "publish_crl"}  # who asks them has no certificate: they have an app, or a listener, of their own
ANYWHERE = {"show_openapi"}  # at that listener, too
ISSUING = {"renew_certificate", *OPEN}
CERTIFICATES = {"list_certificates", "revoke_certificate", *ISSUING}
WITHOUT_CLUSTER = {*WITHOUT_STORE, "heart_beat", "beat_canary", *STEERING, *CERTIFICATES}


def served() -> tuple[str, ...]:
    """Names of the functions to serve. Raises SettingError for one that does not exist."""
    package = import_module("functions")
    existing = tuple(module.name for module in pkgutil.iter_modules(package.__path__))
    wanted = settings.FUNCTIONS.read(os.environ)
    if wanted == ("all",):
        return existing
    for number, name in enumerate(wanted, 1):
        if name not in existing:
            there_are = ", ".join(existing)
            raise SettingError(f"{settings.FUNCTIONS.name}: name {number} is no function's; there are {there_are}")
    return wanted


def uses_store() -> bool:
    """Whether any function served here needs the store. Raises SettingError."""
    return not WITHOUT_STORE.issuperset(served())


def issues() -> bool:
    """Whether any function served here signs certificates. Raises SettingError."""
    return not ISSUING.isdisjoint(served())


def uses_cluster() -> bool:
    """Whether any function served here touches the cluster. Raises SettingError."""
    return not WITHOUT_CLUSTER.issuperset(served())


def blueprints() -> Iterator[func.Blueprint]:
    for name in served():
        yield import_module(f"functions.{name}").bp
