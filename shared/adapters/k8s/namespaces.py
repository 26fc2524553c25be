"""Making the namespace that databases live in, for who sets up a control plane by hand."""

from collections.abc import Awaitable

from kubernetes.aio import client  # noqa: TID251

from shared.adapters.k8s.client import NETWORK_ERRORS
from shared.domain.errors import ClusterRefused, ClusterUnavailable

RESTRICTED = {  # what our pods keep to, so whatever else comes here must as well
    "app.kubernetes.io/part-of": "playground",
    "pod-security.kubernetes.io/enforce": "restricted",
}
SECONDS = 5  # for one request
PASSING = (401, 429)  # what may pass by waiting, besides 5xx


async def ensure_namespace(configuration: client.Configuration, name: str) -> bool:
    """Make the namespace if it is missing; True if it was. Raises ClusterRefused, ClusterUnavailable.

    Who may neither look for it nor make it has the least rights (infra/kubernetes/role.yaml), from
    somebody who has made it: then it is taken to be there, and the probe tells what is wrong.
    """
    async with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        found, why = await _answer(core.read_namespace(name, _request_timeout=SECONDS))
        if found == 200:
            return False
        if found not in (403, 404):
            raise ClusterUnavailable(f"the cluster answers {found} {why}")
        wanted = client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels=RESTRICTED))
        made, why = await _answer(core.create_namespace(wanted, _request_timeout=SECONDS))
        if made not in (200, 409) and (found, made) != (403, 403):
            raise ClusterRefused(f"namespace {name} is missing and cannot be made: {why}")
        return made == 200


async def _answer(request: Awaitable[object]) -> tuple[int, str]:
    """Code and reason of what an API server answers; 200 is any success."""
    try:
        await request
        return 200, ""
    except client.ApiException as error:
        if error.status in PASSING or error.status >= 500:
            raise ClusterUnavailable(f"the cluster answers {error.status}") from error
        return error.status, str(error.reason)
    except NETWORK_ERRORS as error:
        why = str(error) or "no answer"
        raise ClusterUnavailable(f"the cluster cannot be reached: {why}") from error
