"""The cluster's addresses on this machine: a veth pair and routes, nothing else.

The host's firewall and sysctls are not touched. Which of the 16 sets of
addresses is taken is decided by making the veth: only one can make it, and it
goes with the network namespace it leads to.
"""

import contextlib
import ipaddress
import json
import os
import pathlib
import subprocess
import time

from .progress import sh
from .settings import IDENTITY, NETS, STATE, UNREACHABLE_METRIC, Failed, Net


def owner(net: Net) -> str | None:
    """What the net's link says of its cluster; None where there is no such link."""
    try:
        return pathlib.Path("/sys/class/net", net.veth, "ifalias").read_text().strip()
    except OSError:
        return None


def occupied(net: Net) -> str:
    """Why the net cannot be used; empty where it can."""
    name = owner(net)
    if name is not None:
        return f"taken by {name or net.veth}"
    for route in json.loads(sh("ip", "-j", "-4", "route", "show", "table", "all") or "[]"):
        if route["dst"] == "default" or (route.get("type"), route.get("metric")) == ("unreachable", UNREACHABLE_METRIC):
            continue  # the second is what an earlier cluster left, see connect()
        other = ipaddress.ip_network(route["dst"], strict=False)
        if any(other.subnet_of(ipaddress.ip_network(own)) for own in net.networks):
            return f"this machine has a route to {route['dst']}"
    return ""


def claim(init: int) -> Net:
    """Take a free net for the cluster whose first process is given."""
    wanted = os.environ.get("DEVCLUSTER_NET", "")
    if wanted and (not wanted.isdigit() or int(wanted) not in NETS):
        raise Failed(f"DEVCLUSTER_NET is {wanted!r}: it must be a number from 0 to {NETS[-1]}, or unset")
    refused = []
    for number in [int(wanted)] if wanted else NETS:
        net = Net(number)
        why = occupied(net)
        if not why:
            try:
                sh("ip", "link", "add", net.veth, "type", "veth", "peer", "name", "eth0", "netns", init)
            except Failed as error:
                if "File exists" not in str(error):
                    raise
                why = "taken this moment"
            else:
                (STATE / "net").write_text(f"{number}\n")
                sh("ip", "link", "set", net.veth, "alias", f"devcluster {IDENTITY} {STATE}"[:255])
                return net
        refused.append(f"  {number}: {why}")
    raise Failed(
        "no free set of addresses:\n" + "\n".join(refused),
        "end another cluster (devcluster.py down in its checkout)" + (", or unset DEVCLUSTER_NET" if wanted else ""),
    )


def connect(net: Net, init: int) -> None:
    sh("ip", "addr", "add", f"{net.host}/30", "dev", net.veth)
    sh("ip", "link", "set", net.veth, "up")
    node = ("nsenter", "-t", init, "-n", "ip")
    sh(*node, "addr", "add", f"{net.node}/30", "dev", "eth0")
    sh(*node, "link", "set", "eth0", "up")
    sh(*node, "route", "add", "unreachable", "default")  # the node reaches the host and nothing beyond
    # A Service without endpoints: packets must get past the route to where iptables refuses them.
    sh(*node, "route", "add", net.services, "dev", "eth0")
    for network in (net.pods, net.services):
        sh("ip", "route", "replace", network, "via", net.node)
    # Without the link nothing meant for the cluster may follow the host's default route: these stay after `down`.
    for network in net.networks:
        sh("ip", "route", "replace", "unreachable", network, "metric", UNREACHABLE_METRIC)


def disconnect() -> None:
    """Wait until this cluster's link has gone with its namespace; remove it where something holds that."""
    for _ in range(50):
        own = [n for n in map(Net, NETS) if (owner(n) or "").startswith(f"devcluster {IDENTITY} ")]
        if not own:
            return
        time.sleep(0.1)
    for net in own:
        with contextlib.suppress(Failed):
            sh("ip", "link", "del", net.veth)


def forget_routes() -> None:
    """Make the addresses of clusters that are down follow the host's default route again."""
    for net in map(Net, NETS):
        if owner(net) is None:
            for network in net.networks:
                command = ("ip", "route", "del", "unreachable", network, "metric", str(UNREACHABLE_METRIC))
                subprocess.run(command, stderr=subprocess.DEVNULL)
