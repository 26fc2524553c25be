"""What goes back over the wire: a function's answer, or the front's own word for a problem."""

import json
from http import HTTPStatus

from aiohttp import HttpVersion10, web
from aiohttp.helpers import rfc822_formatted_time

from selfhost.runtime import Answer
from shared.edge import problems

_FRAMING = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "upgrade"}
SERVER = "playground"
_PROBLEM = {"content-type": problems.CONTENT_TYPE, "server": SERVER, "cache-control": "no-store"}


class FunctionResponse(web.StreamResponse):
    """A function's answer, whole and written at once.

    `web.Response` can do more (compression, payloads, chunks) and spends 10 µs a request on finding
    that none of it is wanted. Serialising stays aiohttp's, with its check for line breaks.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(status=answer.status)
        self._content = answer.body
        for name, value in answer.headers:
            if name.lower() not in _FRAMING:
                self.headers.add(name, value)
        self.headers["server"] = SERVER

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write all of it; for HEAD, 204 and 304 without the body."""
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive and request.version > HttpVersion10
        headers = self.headers
        headers["date"] = rfc822_formatted_time()
        if not self._keep_alive:
            headers["connection"] = "close"
        body = self._content
        if self.status == 204 or self.status == 304:
            body = b""
        else:
            headers["content-length"] = str(len(body))
        await request.writer.write_headers(f"HTTP/1.1 {self.status} {self.reason}", headers)
        await request.writer.write_eof(b"" if request.method == "HEAD" else body)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


def problem(error: Exception) -> web.Response:
    """The front's own answer where no function answered: none was found, or it failed."""
    told = problems.document(error)
    return web.Response(status=told["status"], body=json.dumps(told).encode(), headers=_PROBLEM)


def last_words(error: Exception) -> bytes:
    """The same as bytes, for a connection without a request that could be answered; it ends with them."""
    told = problems.document(error)
    body = json.dumps(told).encode()
    headers = {**_PROBLEM, "connection": "close", "content-length": str(len(body)), "date": rfc822_formatted_time()}
    head = [f"HTTP/1.1 {told['status']} {HTTPStatus(told['status']).phrase}", *map(": ".join, headers.items())]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body
