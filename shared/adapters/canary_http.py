"""A beat through the public address, with the canary's own certificate."""

import json
import ssl

import aiohttp

USER = "canary"
SECONDS = 10.0


async def beat(url: str, certificate: str, key: str, ca: str) -> bool:
    """Whether a heart_beat through `url` reached the store and came back. Never raises for the network.

    `certificate`, `key` and `ca` are paths of PEM files ("" for none, or the system's CAs). Like the
    plugin it opens a new connection, so a front end that refuses new ones is noticed.
    """
    context: ssl.SSLContext | bool = True
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=ca or None)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(f"{url.rstrip('/')}/api/heart_beat", params={"user_id": USER}) as answer,
        ):
            said = json.loads(await answer.read())
            return answer.status == 200 and isinstance(said, dict) and said.get("state") not in (None, "unknown")
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        return False
