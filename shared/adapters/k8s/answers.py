"""What an API server's refusal means to us."""

import json

from shared.domain.errors import ClusterRefused, ClusterUnavailable, PlaygroundError


class Refusal(Exception):
    """An answer that is no success: its HTTP code, and reason and message of its Status."""

    def __init__(self, code: int, reason: str, message: str, retry_after: int | None = None):
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def of(cls, code: int, body: bytes, retry_after: str | None = None) -> "Refusal":
        """From an answer's code, body and Retry-After (seconds); the body may be anything."""
        try:
            status = json.loads(body)
        except ValueError:
            status = None
        if not isinstance(status, dict):
            status = {}
        wait = int(retry_after) if retry_after and retry_after.isdecimal() else None
        return cls(code, str(status.get("reason", "")), str(status.get("message", "")), wait)


def refused(refusal: Refusal) -> PlaygroundError:
    """The domain's error: 400, 403, 404, 410 and 422 are an answer, all else may pass by waiting.

    401 may: tokens are renewed behind our back. So may 409: two creates count against one quota.
    """
    if refusal.code in (400, 403, 404, 410, 422):
        return ClusterRefused(refusal.message[:500] or f"the cluster refused: {refusal.code} {refusal.reason}")
    if refusal.code == 429:
        return ClusterUnavailable("the cluster is overloaded", refusal.retry_after or 1)
    return ClusterUnavailable(f"the cluster answered {refusal.code} {refusal.reason}".rstrip(), refusal.retry_after)


def unavailable(error: Exception) -> ClusterUnavailable:
    """No answer: a time-out, a connection that failed or broke."""
    return ClusterUnavailable(f"no answer from the cluster: {type(error).__name__}")
