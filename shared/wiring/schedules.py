"""When the timers fire, and which queue brings looks: read once, when functions are registered."""

import os

from shared.edge import settings

reap = settings.REAP_SCHEDULE.read(os.environ)
reconcile = settings.RECONCILE_SCHEDULE.read(os.environ)
refill = settings.REFILL_SCHEDULE.read(os.environ)
canary = settings.CANARY_SCHEDULE.read(os.environ)
looks_queue = settings.LOOKS_QUEUE.read(os.environ)
