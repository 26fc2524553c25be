"""Making the namespace that databases live in, for who sets up a control plane by hand."""

from kubernetes.aio import client  # noqa: TID251

from shared.adapters.k8s.client import NETWORK_ERRORS
from shared.domain.errors import ClusterRefused, ClusterUnavailable

RESTRICTED = {  # what our pods keep to, so whatever else comes here must as well
    "app.kubernetes.io/part-of": "playground",
    "pod-security.kubernetes.io/enforce": "restricted",
}


async def ensure_namespace(configuration: client.Configuration, name: str) -> bool:
    """Make the namespace if it is missing; True if it was. Raises ClusterRefused, ClusterUnavailable."""
    async with client.ApiClient(configuration) as api:
        core = client.CoreV1Api(api)
        try:
            await core.read_namespace(name, _request_timeout=5)
            return False
        except client.ApiException as error:
            if error.status not in (403, 404):  # who may not look may still be allowed to make
                raise ClusterUnavailable(f"the cluster answers {error.status}") from error
        except NETWORK_ERRORS as error:
            why = str(error) or "no answer"
            raise ClusterUnavailable(f"the cluster cannot be reached: {why}") from error
        try:
            metadata = client.V1ObjectMeta(name=name, labels=RESTRICTED)
            await core.create_namespace(client.V1Namespace(metadata=metadata), _request_timeout=5)
            return True
        except client.ApiException as error:
            if error.status == 409:
                return False
            raise ClusterRefused(f"namespace {name} is missing and cannot be made: {error.reason}") from error
