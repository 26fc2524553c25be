"""NetworkPolicies are enforced: both directions, selectors, blocks, ports; and gone when deleted."""

import pytest
from harness import NAMESPACE, Api, busybox, until

SERVER = "mkdir /tmp/w; echo welcome >/tmp/w/index.html; exec httpd -f -p 8000 -h /tmp/w"
PODS = ("web", "friend", "stranger")


class Net:
    """A server and two clients."""

    def __init__(self, api: Api):
        self.api = api
        self.pod = f"http://{api.core.read_namespaced_pod('web', NAMESPACE).status.pod_ip}:8000"
        self.address = self.pod.removeprefix("http://").partition(":")[0]
        self.service = f"http://{api.core.read_namespaced_service('web', NAMESPACE).spec.cluster_ip}"
        self.name = f"http://web.{NAMESPACE}.svc.cluster.local"

    def reaches(self, client: str, url: str) -> bool:
        return "welcome" in self.api.execute(client, "timeout", "1", "wget", "-q", "-O", "-", url)

    def opens(self, client: str, host: str, port: int) -> bool:
        return "open" in self.api.execute(client, "sh", "-c", f"nc -w 1 {host} {port} </dev/null && echo open")

    def apply(self, name: str, pod: str, direction: str, rules: list[dict]) -> None:
        selector = {"matchLabels": {"app": pod}}
        spec = {"podSelector": selector, "policyTypes": [direction], direction.lower(): rules}
        self.api.net.create_namespaced_network_policy(NAMESPACE, {"metadata": {"name": name}, "spec": spec})

    def clear(self) -> None:
        self.api.net.delete_collection_namespaced_network_policy(NAMESPACE)


@pytest.fixture(scope="module")
def pods(robot: Api, admin: Api):
    for name in PODS:
        robot.core.create_namespaced_pod(NAMESPACE, busybox(name, ["sh", "-c", SERVER], {"app": name}))
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    robot.core.create_namespaced_service(NAMESPACE, {"metadata": {"name": "web"}, "spec": spec})
    for name in PODS:
        until(lambda n=name: robot.phase(n) == "Running")
    # As admin: deleting a collection is not one of the robot's verbs.
    net = Net(admin)
    until(lambda: net.reaches("stranger", net.service))
    yield net
    robot.core.delete_namespaced_service("web", NAMESPACE)
    for name in PODS:
        robot.delete_pod(name)


@pytest.fixture
def net(pods: Net):
    yield pods
    pods.clear()
    until(lambda: all(pods.reaches(name, pods.service) for name in ("friend", "stranger")))


def test_without_a_policy_everybody_gets_in(net: Net) -> None:
    for client in ("friend", "stranger"):
        assert [net.reaches(client, url) for url in (net.pod, net.service, net.name)] == [True] * 3


def test_an_ingress_policy_lets_the_friend_in_and_no_stranger(net: Net) -> None:
    friend = {"podSelector": {"matchLabels": {"app": "friend"}}}
    net.apply("web", "web", "Ingress", [{"from": [friend], "ports": [{"port": 8000}]}])
    until(lambda: not net.reaches("stranger", net.pod))
    assert not net.reaches("stranger", net.service)
    assert net.reaches("friend", net.pod)
    assert net.reaches("friend", net.service)
    net.clear()
    until(lambda: net.reaches("stranger", net.service), 10)


def test_an_egress_policy_leaves_dns_and_not_the_api_server(net: Net, node: str) -> None:
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    net.apply("egress", "friend", "Egress", [{"to": [system], "ports": [{"port": 53, "protocol": "UDP"}]}])
    until(lambda: not net.reaches("friend", net.pod))
    assert not net.opens("friend", node, 6443)
    address = net.service.removeprefix("http://")
    assert address in net.api.execute("friend", "timeout", "5", "nslookup", net.name.removeprefix("http://"))


def test_an_egress_policy_with_a_block_an_exception_and_a_range_of_ports(net: Net, node: str) -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": [f"{net.address}/32"]}}
    net.apply("egress", "friend", "Egress", [{"to": [block], "ports": [{"port": 6000, "endPort": 9000}]}])
    until(lambda: not net.reaches("friend", net.pod))
    assert net.opens("friend", node, 6443)
    assert not net.opens("friend", node, 5000)
