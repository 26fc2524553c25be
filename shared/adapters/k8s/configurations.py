"""Which cluster, and as whom: by kubeconfig, from inside a pod, or by address and token."""

from collections.abc import Awaitable, Callable
from typing import Any

from kubernetes.aio import client, config  # noqa: TID251

from shared.domain.errors import ClusterUnavailable

type Token = Callable[[], Awaitable[str]]


async def from_kubeconfig(path: str, context: str | None = None) -> client.Configuration:
    """The cluster that a kubeconfig names; a token from an exec plugin is renewed when it ends."""
    configuration = client.Configuration()
    loader = await config.load_kube_config(  # type: ignore[no-untyped-call]
        path, context, configuration, persist_config=False
    )
    if getattr(loader, "exec_plugin_expiry", None):

        async def renew(configuration: Any) -> None:
            await loader.load_from_exec_plugin()
            configuration.api_key["BearerToken"] = loader.token

        _renewed_by(configuration, renew)
    return configuration


def in_cluster() -> client.Configuration:
    """The cluster that this pod runs in, by its service account's token, read again every minute."""
    configuration = client.Configuration()
    config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    return configuration


def at(server: str, authority: str, token: Token) -> client.Configuration:
    """The cluster at an address, with its CA (PEM) and whatever gives us a token, such as Azure's identity."""
    configuration = client.Configuration(host=server, ca_cert_data=authority)
    configuration.api_key["BearerToken"] = ""  # makes the library ask the hook

    async def renew(configuration: Any) -> None:
        try:
            configuration.api_key["BearerToken"] = f"Bearer {await token()}"
        except Exception as error:  # whatever its provider raises
            raise ClusterUnavailable(f"no token for the cluster: {type(error).__name__}") from error

    _renewed_by(configuration, renew)
    return configuration


def _renewed_by(configuration: Any, renew: Callable[[Any], Awaitable[None]]) -> None:
    """The library calls it with the configuration before each request, and awaits it."""
    configuration.refresh_api_key_hook = renew
