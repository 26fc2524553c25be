"""Settings that only their user can judge: a wrong one is named, its value is not repeated."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.sealing import new_key
from shared.edge.config import SettingError
from shared.wiring import callers, cluster, looks, policies, sealing
from shared.wiring.once import Once
from tests.certs import CertificateFactory

KUBECONFIGS = {
    "empty": "",
    "not YAML": "hunter2: [",
    "a word": "hunter2",
    "without a context": "apiVersion: v1\nkind: Config\n",
    "with a CA that is none": """
apiVersion: v1
kind: Config
current-context: hunter2
contexts: [{name: hunter2, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://h", certificate-authority-data: aHVudGVyMg==}}]
users: [{name: u, user: {token: hunter2}}]
""",
}


@pytest.fixture(autouse=True)
async def fresh() -> AsyncIterator[None]:
    yield
    for each in (callers.certificates, cluster.api, looks.looks, policies.policy, sealing.sealer):
        await each.close()  # type: ignore[attr-defined]


async def refused(once: Once, named: str) -> str:
    with pytest.raises(SettingError) as refusal:
        await once.get()
    text = str(refusal.value)
    assert named in text and "\n" not in text
    assert "hunter2" not in text
    return text


@pytest.mark.parametrize(
    "keys",
    [
        *("hunter2", "k1:hunter2", "k1:" + "A" * 43, "hunter2:" + "A" * 42 + "==", f"{new_key()},hunter2"),
        *("file:/hunter2", "file:"),
    ],
    ids=range(7),  # a key is another one in every process
)
async def test_seal_keys(monkeypatch: pytest.MonkeyPatch, keys: str):
    monkeypatch.setenv("PLAYGROUND_SEAL_KEYS", keys)
    await refused(sealing.sealer, "PLAYGROUND_SEAL_KEYS")


@pytest.mark.parametrize("content", [b"", b"hunter2", b"\xff\xfehunter2", b"k1:hunter2 k2:hunter2"])
async def test_a_file_of_seal_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes):
    (tmp_path / "hunter2").write_bytes(content)
    monkeypatch.setenv("PLAYGROUND_SEAL_KEYS", f"file:{tmp_path / 'hunter2'}")
    assert "0xff" not in await refused(sealing.sealer, "PLAYGROUND_SEAL_KEYS")


async def test_a_good_file_of_seal_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "keys").write_text(f"{new_key()}\n{new_key()}\n")
    monkeypatch.setenv("PLAYGROUND_SEAL_KEYS", f"file:{tmp_path / 'keys'}")
    ring = await sealing.sealer.get()
    assert ring.open(ring.seal("text", "context"), "context") == "text"


@pytest.mark.parametrize("source", ["arr", "selfhost"])
async def test_certificates_without_a_ca(monkeypatch: pytest.MonkeyPatch, source: str):
    monkeypatch.setenv("PLAYGROUND_CERTIFICATE_FROM", source)
    await refused(callers.certificates, "PLAYGROUND_CLIENT_CA must be set where PLAYGROUND_CERTIFICATE_FROM is")


async def test_a_ca_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PLAYGROUND_CERTIFICATE_FROM", "arr")
    for path in (tmp_path / "hunter2", tmp_path):
        monkeypatch.setenv("PLAYGROUND_CLIENT_CA", str(path))
        await refused(callers.certificates, "PLAYGROUND_CLIENT_CA: its file: ")


async def test_a_file_that_holds_no_ca(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    factory = CertificateFactory(tmp_path)
    monkeypatch.setenv("PLAYGROUND_CERTIFICATE_FROM", "arr")
    for content in (b"", b"hunter2", factory.leaf().certificate.read_bytes()):
        (tmp_path / "ca.pem").write_bytes(content)
        monkeypatch.setenv("PLAYGROUND_CLIENT_CA", str(tmp_path / "ca.pem"))
        await refused(callers.certificates, "PLAYGROUND_CLIENT_CA: ")


async def test_a_trust_domain_that_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_TRUST_DOMAIN", "Hunter2/x")
    await refused(callers.certificates, "PLAYGROUND_TRUST_DOMAIN")


@pytest.mark.parametrize("content", KUBECONFIGS.values(), ids=KUBECONFIGS)
async def test_a_kubeconfig_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str):
    (tmp_path / "kubeconfig").write_text(content)
    monkeypatch.setenv("PLAYGROUND_KUBECONFIG", str(tmp_path / "kubeconfig"))
    await refused(cluster.api, "PLAYGROUND_KUBECONFIG names no cluster that can be used")


async def test_a_kubeconfig_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    for path in ("hunter2", "/hunter2:hunter2", "/"):
        monkeypatch.setenv("PLAYGROUND_KUBECONFIG", path)
        await refused(cluster.api, "PLAYGROUND_KUBECONFIG names no file that is there")


async def test_no_kubeconfig_and_no_pod(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("PLAYGROUND_KUBECONFIG", raising=False)
    await refused(cluster.api, "PLAYGROUND_KUBECONFIG is not set, and this is no pod of a cluster")


@pytest.mark.parametrize("via", ["queue:http://hunter2.example", "hunter2"])
async def test_looks(monkeypatch: pytest.MonkeyPatch, via: str):
    monkeypatch.setenv("PLAYGROUND_LOOKS", via)
    await refused(looks.looks, "PLAYGROUND_LOOKS")


async def test_a_corrected_setting_is_taken_without_a_new_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_GRACE", "eleven hours")
    await refused(policies.policy, "PLAYGROUND_GRACE")
    monkeypatch.setenv("PLAYGROUND_GRACE", "PT12H")
    assert (await policies.policy.get()).grace == 12 * 3600
