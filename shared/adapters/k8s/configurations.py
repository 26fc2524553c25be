"""Which cluster, and as whom: by kubeconfig, from inside a pod, or by address and token."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from kubernetes.aio import client, config  # noqa: TID251
from kubernetes.aio.config import kube_config  # noqa: TID251

from shared.adapters.k8s.plugins import Plugin, folder_of
from shared.domain.errors import ClusterUnavailable

log = logging.getLogger(__name__)

type Token = Callable[[], Awaitable[str]]


async def from_kubeconfig(path: str, context: str | None = None) -> client.Configuration:
    """The cluster that a kubeconfig names, as its user: by token, by certificate, or by a program that gives one."""
    configuration = client.Configuration()
    files: Any = kube_config.KubeConfigMerger(path)  # type: ignore[no-untyped-call]
    loader: Any = kube_config.KubeConfigLoader(files.config, context, config_base_path=None)  # type: ignore[no-untyped-call]
    user = loader._user
    program = user.value.pop("exec", None) if user else None  # run by us: see `plugins`
    await loader.load_and_set(configuration)
    if program:
        await _by_program(configuration, Plugin(program, folder_of(user.path)))
    return configuration


async def _by_program(configuration: Any, plugin: Plugin) -> None:
    """Tokens from `plugin`, renewed when they end. A certificate is taken now or never."""
    try:
        first = await plugin.credential()
    except ClusterUnavailable as error:
        log.warning("%s; it is tried again at each request", error.detail)
    else:
        if first.certificate:
            configuration.cert_file, configuration.key_file = map(_file, (first.certificate, first.key))
        if not first.token:
            return

    async def token() -> str:
        found = await plugin.credential()
        if not found.token:
            raise ClusterUnavailable(f"{plugin.name} now gives a certificate: that is taken at a start only")
        return found.token

    _renewed_by(configuration, token)


def _file(text: str) -> str:
    """A file that holds it, for nobody else to read; gone when this process ends."""
    held: Any = kube_config.FileOrData({"it": text}, None, "it", base64_file_content=False)  # type: ignore[no-untyped-call]
    return str(held.as_file())


def in_cluster() -> client.Configuration:
    """The cluster that this pod runs in, by its service account's token, read again every minute."""
    configuration = client.Configuration()
    config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    return configuration


def at(server: str, authority: str, token: Token) -> client.Configuration:
    """The cluster at an address, with its CA (PEM) and whatever gives us a token, such as Azure's identity."""
    configuration = client.Configuration(host=server, ca_cert_data=authority)
    _renewed_by(configuration, token)
    return configuration


def _renewed_by(configuration: Any, token: Token) -> None:
    """The library calls the hook with a configuration before each request, and awaits it."""
    configuration.api_key["BearerToken"] = ""  # makes the library ask the hook

    async def renew(configuration: Any) -> None:
        try:
            configuration.api_key["BearerToken"] = f"Bearer {await token()}"
        except ClusterUnavailable:
            raise
        except Exception as error:  # whatever its provider raises
            raise ClusterUnavailable(f"no token for the cluster: {type(error).__name__}") from error

    configuration.refresh_api_key_hook = renew
