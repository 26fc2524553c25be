"""The clock of this process."""

from shared.ports.clock import Clock, SystemClock

clock: Clock = SystemClock()
