"""What the stand-in refuses, in the service's words."""

CODES = {
    400: "BadRequest", 401: "Unauthorized", 404: "NotFound", 409: "Conflict", 412: "PreconditionFailed",
    413: "RequestEntityTooLarge", 424: "FailedDependency", 429: "TooManyRequests", 449: "RetryWith",
    503: "ServiceUnavailable",
}  # fmt: skip

CROSS_PARTITION = 1004  # sub-status of a query the gateway cannot serve: ask for its plan
WRONG_PARTITION = 1001  # sub-status: the header's partition key is not the document's
NO_CONTAINER = 1003  # sub-status of 404: not the item, what should hold it


class Refused(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, message: str, sub_status: int = 0):
        super().__init__(message)
        self.status, self.message, self.sub_status = status, message, sub_status
