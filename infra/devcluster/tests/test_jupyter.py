"""A Jupyter server behind Service, Ingress, NodePort and port-forward."""

import contextlib
import json
import secrets
import socket
import ssl
import subprocess
import urllib.error

import pytest
import websocket
from harness import HERE, NAMESPACE, Api, Cluster, http, until

HOST = "hub.example"


@pytest.fixture(scope="module")
def token(cluster: Cluster, robot: Api):
    """Of a running server."""
    token = secrets.token_urlsafe(12)
    robot.core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "lab"}, "stringData": {"token": token}})
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", HERE / "jupyter.yaml")
    address = robot.core.read_namespaced_service("lab", NAMESPACE).spec.cluster_ip
    until(lambda: http(f"http://{address}/lab1/api")[0] == 200)
    yield token
    cluster.kubectl("delete", "-n", NAMESPACE, "-f", HERE / "jupyter.yaml", "--wait=false")
    robot.core.delete_namespaced_secret("lab", NAMESPACE)


def certificate() -> tuple[str, str]:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", "/dev/stdout"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    key, begin, rest = text.partition("-----BEGIN CERT")
    return key, begin + rest


def test_the_ingress_routes_a_path_of_its_host_and_no_other_host(token: str, node: str) -> None:
    assert until(lambda: http(f"http://{node}/lab1/api", HOST))[0] == 200
    with pytest.raises(urllib.error.HTTPError) as missing:
        http(f"http://{node}/lab1/api", "other.example")
    missing.value.close()
    assert missing.value.code == 404


def test_the_status_of_the_ingress_has_the_address_of_the_node(token: str, robot: Api, node: str) -> None:
    def addresses() -> list[str]:
        status = robot.net.read_namespaced_ingress("lab", NAMESPACE).status
        return [one.ip for one in status.load_balancer.ingress or []]

    assert until(addresses) == [node]


def test_a_kernel_runs_code_over_a_websocket_through_the_ingress(token: str, node: str) -> None:
    until(lambda: http(f"http://{node}/lab1/api", HOST))
    kernel = json.loads(http(f"http://{node}/lab1/api/kernels", HOST, token, "POST", b"{}")[1])["id"]
    channel = websocket.create_connection(
        f"ws://{node}/lab1/api/kernels/{kernel}/channels",
        host=HOST,
        header=[f"Authorization: token {token}"],
        timeout=20,
    )
    content = {"code": "import pymysql; print(6 * 7)", "silent": False, "store_history": False}
    content |= {"user_expressions": {}, "allow_stdin": False}
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "s", "version": "5.3"}
    message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": content}
    with contextlib.closing(channel):
        channel.send(json.dumps(message))
        said = {}
        while said.get("msg_type") != "stream":
            said = json.loads(channel.recv())
    assert said["content"]["text"] == "42\n"


def test_the_ingress_serves_tls_with_the_certificate_of_a_secret(token: str, robot: Api, node: str) -> None:
    key, crt = certificate()
    secret = {"metadata": {"name": "tls"}, "type": "kubernetes.io/tls", "stringData": {"tls.key": key, "tls.crt": crt}}
    robot.core.create_namespaced_secret(NAMESPACE, secret)
    change = {"spec": {"tls": [{"hosts": [HOST], "secretName": "tls"}]}}
    robot.net.patch_namespaced_ingress("lab", NAMESPACE, change)
    context = ssl.create_default_context(cadata=crt)

    def answer() -> bytes:
        with (
            socket.create_connection((node, 443), 2) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as connection,
        ):
            connection.sendall(f"GET /lab1/api HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(12)

    assert until(answer) == b"HTTP/1.1 200"
    robot.core.delete_namespaced_secret("tls", NAMESPACE)


def test_a_node_port_answers(token: str, robot: Api, node: str) -> None:
    robot.core.patch_namespaced_service("lab", NAMESPACE, {"spec": {"type": "NodePort"}})
    port = robot.core.read_namespaced_service("lab", NAMESPACE).spec.ports[0].node_port
    assert until(lambda: http(f"http://{node}:{port}/lab1/api"))[0] == 200


def test_a_port_is_forwarded(token: str, cluster: Cluster) -> None:
    process = cluster.start("kubectl", "-n", NAMESPACE, "port-forward", "pod/lab", ":8888")
    try:
        port = process.stdout.readline().split("127.0.0.1:")[1].split()[0]
        assert http(f"http://127.0.0.1:{port}/lab1/api")[0] == 200
    finally:
        process.terminate()
        process.communicate()
