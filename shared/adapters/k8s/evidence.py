"""What a database server says of its user, asked inside its pod over the server's own socket.

The program and its arguments are constants. Only what MariaDB counts for the user's account
counts: neither kubelet's probes nor our own question log in as that user.
"""

import asyncio
import logging

from shared.adapters.k8s.api import Api, Object, Output
from shared.adapters.k8s.readiness import server, standing
from shared.domain.errors import PlaygroundError
from shared.manifests.mariadb import CONTAINER, USER, client_argv
from shared.ports.cluster import Evidence

log = logging.getLogger(__name__)

SECONDS = 5.0  # for all of it

# One row: open connections, those of them that run a statement, connections ever, statements ever.
QUESTION = (
    "SELECT COUNT(*), COALESCE(SUM(COMMAND <> 'Sleep'), 0),"
    " (SELECT COALESCE(SUM(TOTAL_CONNECTIONS), 0) FROM information_schema.USER_STATISTICS"
    f" WHERE USER = '{USER}'),"
    " (SELECT COALESCE(SUM(SELECT_COMMANDS + UPDATE_COMMANDS + OTHER_COMMANDS), 0)"
    f" FROM information_schema.USER_STATISTICS WHERE USER = '{USER}')"
    f" FROM information_schema.PROCESSLIST WHERE USER = '{USER}'"
)
ARGV = tuple(client_argv(QUESTION))


async def ask(api: Api, selector: str) -> Evidence | None:
    """The evidence, or None: no pod, no answer, or an answer that is not four numbers."""
    try:
        async with asyncio.timeout(SECONDS):
            pod = await _pod(api, selector)
            if pod is None:
                return None
            output = await api.run(pod["metadata"]["name"], CONTAINER, ARGV)
            after = await _pod(api, selector)
    except (PlaygroundError, TimeoutError) as error:
        log.warning("no evidence from %s: %s", selector, type(error).__name__)
        return None
    numbers = _numbers(output)
    if numbers is None:
        log.warning("no evidence from %s: exit code %d, %d bytes", selector, output.code, len(output.stdout))
        return None
    if after is None or server(after) != server(pod):
        return None  # it started again meanwhile: whose numbers these are, nobody knows
    connections, executing, connected, statements = numbers
    return Evidence(connections, connected, statements, executing > 0, server(pod))


async def _pod(api: Api, selector: str) -> Object | None:
    pod = standing((await api.page("Pod", selector)).items)
    return pod if pod is not None and server(pod) else None


def _numbers(output: Output) -> tuple[int, int, int, int] | None:
    fields = output.stdout.decode("ascii", "replace").split()
    if output.code != 0 or len(fields) != 4 or not all(field.isdecimal() for field in fields):
        return None
    connections, executing, connected, statements = map(int, fields)
    return connections, executing, connected, statements
