"""Images into the cluster's registry, over its HTTP API."""

import http.client
import json
import pathlib
import tarfile

from .settings import Failed

PORT = 5000


def push(host: str, archive: pathlib.Path, reference: str) -> bool:
    """Push an OCI archive as NAME:TAG; False where the registry has it already."""
    name, _, tag = reference.partition(":")
    if not tag:
        raise Failed(f"{reference}: NAME:TAG is needed")
    connection = http.client.HTTPConnection(host, PORT, timeout=60, blocksize=1 << 20)

    def call(method: str, path: str, expected: tuple[int, ...], body=None, headers=None) -> http.client.HTTPResponse:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        text = response.read()
        if response.status not in expected:
            raise Failed(f"registry: {method} {path}: {response.status} {text[:300]!r}")
        return response

    with tarfile.open(archive) as tar:

        def blob(digest: str):
            return tar.extractfile("blobs/sha256/" + digest.removeprefix("sha256:"))

        top = json.load(tar.extractfile("index.json"))["manifests"][0]
        there = call("HEAD", f"/v2/{name}/manifests/{tag}", (200, 404), headers={"Accept": top["mediaType"]})
        if there.getheader("Docker-Content-Digest") == top["digest"]:
            return False
        manifest = blob(top["digest"]).read()
        described = json.loads(manifest)
        for part in (described["config"], *described["layers"]):
            if call("HEAD", f"/v2/{name}/blobs/{part['digest']}", (200, 404)).status == 200:
                continue
            upload = call("POST", f"/v2/{name}/blobs/uploads/", (202,)).getheader("Location")
            path = upload.split(f":{PORT}", 1)[-1]
            path += ("&" if "?" in path else "?") + "digest=" + part["digest"]
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(part["size"])}
            call("PUT", path, (201,), blob(part["digest"]), headers)
        call("PUT", f"/v2/{name}/manifests/{tag}", (201,), manifest, {"Content-Type": top["mediaType"]})
    connection.close()
    return True
