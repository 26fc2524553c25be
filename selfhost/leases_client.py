"""Asks a Playground about leases."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from selfhost.api_client import Access, ApiClient

PAGE = 200  # leases or events asked for at once


class LeasesClient(ApiClient):
    """The API of leases; `owner` is whose, where that is not who asks. Raises Refused, NoAnswer."""

    def __init__(self, access: Access, owner: str = ""):
        super().__init__(access.url, access.context())
        self._owner = {"owner": owner} if owner else {}

    async def listed(self, **chosen: str) -> list[dict[str, Any]]:
        """All leases there are of that kind and state."""
        return await self._all("leases", "", chosen)

    async def show(self, id: str) -> dict[str, Any]:
        """One lease, with `events`: what became of it, oldest first."""
        lease = await self._ask("GET", f"/{quote(id, safe='')}")
        return {**lease, "events": await self._all("events", f"/{quote(id, safe='')}/events", {})}

    async def hold(self, id: str, until: float | str | None, note: str, revision: int | None) -> dict[str, Any]:
        """The lease, kept until then; None lets it go."""
        body = {"until": until, "note": note}
        return await self._ask("PUT", f"/{quote(id, safe='')}/hold", revision=revision, json=body)

    async def end(self, id: str, purge: bool, revision: int | None) -> dict[str, Any]:
        """The lease, on its way out."""
        query = {"purge": "true"} if purge else {}
        return await self._ask("DELETE", f"/{quote(id, safe='')}", query, revision=revision)

    async def _all(self, what: str, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        part: dict[str, Any] = {"next": ""}
        while "next" in part:
            further = {"after": part["next"]} if part["next"] else {}
            part = await self._ask("GET", path, {**query, **further, "limit": str(PAGE)})
            found += part[what]
        return found

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] = {}, revision: int | None = None, **how: Any
    ) -> dict[str, Any]:
        return await self.ask(method, f"/api/leases{path}", {**query, **self._owner}, revision, **how)
