"""Waiting for what nobody tells us of: until a condition holds, never for a time."""

import time
from collections.abc import Callable

import httpx
import pymysql
import urllib3
from kubernetes import client

FOUND_TOGETHER = 120.0  # seconds in which the cluster's parts have found each other again after any outage

PASSING = (
    OSError,
    client.ApiException,
    httpx.TransportError,
    pymysql.err.OperationalError,
    urllib3.exceptions.HTTPError,
)


def until[T](condition: Callable[[], T], seconds: float = 60.0) -> T:
    """The first true value; what fails for want of a server is asked again. Raises TimeoutError."""
    end, last = time.monotonic() + seconds, "nothing"
    while True:
        try:
            if value := condition():
                return value
        except PASSING as error:
            last = repr(error)
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s; the last error was {last}")
        time.sleep(0.05)
