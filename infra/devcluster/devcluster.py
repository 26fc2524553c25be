#!/usr/bin/env python3
"""A one-node Kubernetes cluster for development and tests, without Docker.

  devcluster.py up [--jupyter]      start, or repair, or find running (--jupyter: with the Jupyter image)
  devcluster.py build [--jupyter]   only build what is missing (up does it too)
  devcluster.py status [--json]     what runs, its memory, where to reach it
  devcluster.py kubeconfig [USER]   path of a kubeconfig: admin (default) or robot
  devcluster.py kubectl ARGS...     kubectl as admin
  devcluster.py logs NAME [-n N]    the end of a component's log
  devcluster.py kill NAME [SIGNAL]  send a component a signal (default 9)
  devcluster.py start NAME          start a component that is not running
  devcluster.py cut | heal          drop what comes from the host, as a broken network does; let it in again
  devcluster.py exec COMMAND...     run a command in the node's namespaces
  devcluster.py load TAR NAME:TAG   put an OCI archive into the registry, for pods as devcluster.local/NAME:TAG
  devcluster.py use COMMAND...      up, then run a command with PLAYGROUND_ settings that name this cluster
  devcluster.py down [--purge]      stop and forget (--purge: the unreachable routes too)

$DEVCLUSTER_DIR    everything of one running cluster (default: .playground/devcluster in the repository)
$DEVCLUSTER_CACHE  what was built (default: playground/devcluster in $XDG_CACHE_HOME or ~/.cache)
$DEVCLUSTER_NET    0..15, one of 16 sets of addresses (default: a free one)

Needs root on Debian or Ubuntu (x86_64), Python >= 3.11, iproute2, util-linux, openssl, perl,
and pip. README.md beside this file tells more.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import string
import sys
import time
from collections.abc import Callable

from cluster import artefacts, cgroups, configuration, network, node, prerequisites, registry
from cluster.progress import Step, sh, tail
from cluster.settings import (
    ALWAYS,
    COMPONENTS,
    HERE,
    IDENTITY,
    IMAGE_PREFIX,
    IMAGES,
    MARKER,
    NODE_NAME,
    STATE,
    Failed,
    Net,
    current_net,
    programs,
)

STARTED = STATE / "started"  # all that a running cluster needs is there; what it was made of
APPLIED = STATE / "addons.yaml"
FIRST = ("etcd", "registry", "containerd", "kube-apiserver")
SECOND = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
DEPLOYMENTS = (("kube-system", "coredns"), ("kube-system", "provisioner"), ("ingress", "ingress"))
TRACES = "devcluster.py logs NAME -n 100 tells more; devcluster.py down, then up, starts anew"


# ---- talking to the cluster ---------------------------------------------------------------------------------------


def get(path: str) -> dict | None:
    """GET from the API server as admin; None while it does not answer with a 200."""
    pki = configuration.PKI
    try:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connection = http.client.HTTPSConnection(current_net().node, 6443, timeout=2, context=context)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            text = response.read()
            return (json.loads(text) if text.startswith(b"{") else {}) if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None


def api_ready() -> bool:
    return get("/readyz") is not None


def node_ready() -> bool:
    found = get(f"/api/v1/nodes/{NODE_NAME}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def available(namespace: str, name: str) -> bool:
    found = get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}") or {}
    return bool(found.get("status", {}).get("availableReplicas"))


def services_lead() -> bool:
    """Whether kube-proxy has written its rules since it began; its /healthz says yes before that."""
    written = re.compile(rb'^kubeproxy_sync_proxy_rules_last_timestamp_seconds\{ip_family="IPv4"\} [1-9]', re.M)
    connection = http.client.HTTPConnection(current_net().node, configuration.PROXY_METRICS, timeout=2)
    try:
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            return written.search(connection.getresponse().read()) is not None
    except (OSError, http.client.HTTPException):
        return False


def listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 0.5).close()
    except OSError:
        return False
    return True


def component_log(name: str) -> pathlib.Path:
    return node.LOGS / f"{name}.log"


def remedy(text: str) -> str:
    """What to do about a component that ended, as far as its log tells."""
    if "inotify_init: too many open files" in text:  # kubelet and containerd take a few dozen a cluster
        return "fewer clusters at once, or as root: sysctl fs.inotify.max_user_instances=512"
    return TRACES


def wait(what: str, component: str, check: Callable[[], bool], seconds: float = 60) -> None:
    """Until check holds; Failed, with the log, when a component it takes has ended or the time is over."""
    with Step(what) as step:
        while not check():
            step.update()
            answer = node.ask("ps")
            if answer is None:
                raise Failed(f"init went away; its log ends\n{tail(component_log('init'))}", TRACES)
            for name in (component, "etcd", "kube-apiserver"):
                state = answer["components"].get(name)
                if state and not state["running"]:
                    text = tail(component_log(name))
                    raise Failed(f"{name} ended ({state['exit']}); its log ends\n{text}", remedy(text))
            if step.seconds() > seconds:
                text = tail(component_log(component))
                raise Failed(f"{what}: not within {seconds:.0f} s; the log of {component} ends\n{text}", TRACES)
            time.sleep(0.1)


def start(*names: str) -> None:
    lines = configuration.command_lines(current_net())
    for name in names:
        if name not in lines:
            raise Failed(f"there is no component {name}: {' '.join(lines)}")
        if node.ask("start", name=name, argv=lines[name], env=programs()) is None:
            raise Failed("the cluster is not running", "start it: devcluster.py up")


def kubectl(*args, **options) -> str:
    return sh(STATE / "bin/kubectl", f"--kubeconfig={STATE}/admin.kubeconfig", *args, **options)


# ---- up and down --------------------------------------------------------------------------------------------------


def one_at_a_time() -> contextlib.AbstractContextManager[None]:
    return artefacts.lock(f"cluster-{IDENTITY}", "another devcluster.py for this cluster")


def up(jupyter: bool) -> None:
    prerequisites.check(jupyter)
    with one_at_a_time():
        running = node.ask("ps") is not None and STARTED.exists()
        if running:
            if jupyter:
                artefacts.build([artefacts.debian_packages(), artefacts.image("jupyter")])
            began = time.monotonic()
            start(*FIRST)
        else:
            artefacts.build(artefacts.wanted(jupyter))
            began = time.monotonic()
            stop()
            artefacts.check_state_disk()
            first_start()
        net = current_net()
        if jupyter:
            push_images(net, ["jupyter"])
        wait("API server ready", "kube-apiserver", api_ready, 90)
        start(*SECOND)
        apply_addons(net)
        start("netpol")
        wait("node ready", "kubelet", node_ready)
        wait("services lead to pods", "kube-proxy", services_lead)
        for namespace, name in DEPLOYMENTS:
            wait(f"{name} available", "kubelet", lambda n=namespace, d=name: available(n, d))
        if running and STARTED.read_text() != made_of():
            print("note: its sources have changed since this cluster was started; down, then up, uses them")
    print(f"cluster up in {time.monotonic() - began:.1f} s; export KUBECONFIG={STATE}/admin.kubeconfig")


def made_of() -> str:
    return "".join(f"{a.name}-{a.key}\n" for a in artefacts.wanted())


def first_start() -> None:
    with Step("namespaces, addresses, certificates, configuration"):
        STATE.mkdir(parents=True, exist_ok=True)
        (STATE / MARKER).touch()
        STATE.chmod(0o711)
        node.LOGS.mkdir()
        (STATE / "bin").mkdir()
        for name in ("kube", "addons"):
            for file in artefacts.go_program(name).path.iterdir():
                (STATE / "bin" / file.name).symlink_to(file)
        (STATE / "debs").symlink_to(artefacts.debian_packages().path)
        init = begin()
        net = network.claim(init)
        network.connect(net, init)
        configuration.write(net)
        cgroups.make()
    start(*FIRST)
    wait("registry", "registry", lambda: listening(net.node, registry.PORT), 60)
    push_images(net, list(ALWAYS))
    STARTED.write_text(made_of())


def begin() -> int:
    """Start init, give its pid; no init is left where this is interrupted."""
    process = node.spawn()
    try:
        while True:
            if answer := node.ask("ps"):
                return answer["pid"]
            if process.poll() is not None:
                raise Failed(f"init did not start; its log ends\n{tail(component_log('init'))}", TRACES)
            time.sleep(0.02)
    except BaseException:
        process.kill()  # and with it its child, see spawn()
        raise


def push_images(net: Net, names: list[str]) -> None:
    with Step("images into the registry"), concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda n: registry.push(net.node, artefacts.image_archive(n), IMAGES[n]), names):
            pass


def apply_addons(net: Net) -> None:
    if APPLIED.exists():
        return
    with Step("add-ons and example namespace"):
        volumes = STATE / "volumes"
        volumes.mkdir(exist_ok=True)
        values = {"NODE": net.node, "DNS": net.dns, "ADDONS": IMAGE_PREFIX + IMAGES["addons"], "VOLUMES": volumes}
        text = string.Template((HERE / "addons.yaml").read_text()).substitute(values)
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
        token = kubectl("create", "token", "robot", "-n", "demo", "--duration=720h").strip()
        configuration.kubeconfig(net, "robot", {"token": token}, "demo")
        APPLIED.write_text(text)


def down(purge: bool) -> None:
    if os.geteuid():
        raise Failed("root is needed")
    with one_at_a_time():
        was_running = stop()
        if purge:
            network.forget_routes()
    print("cluster down" if was_running else "was not running")


def stop() -> bool:
    """End what there is of this cluster, in whatever state it is; whether it was running."""
    if STATE.exists() and any(STATE.iterdir()) and not (STATE / MARKER).exists():
        raise Failed(f"{STATE} is not empty and not a cluster's", "set DEVCLUSTER_DIR to a new or an empty folder")
    answer = None
    with contextlib.suppress(Failed, OSError):
        answer = node.ask("stop")
    asked = time.monotonic()
    while left := node.leftovers():
        if answer is None or time.monotonic() - asked > 5:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    network.disconnect()
    cgroups.remove()
    if STATE.exists():
        for entry in STATE.iterdir():
            if entry.name != MARKER:
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        shutil.rmtree(STATE)  # the marker last, so that an interrupted removal can be gone on with
    return answer is not None


# ---- other commands -----------------------------------------------------------------------------------------------


def status(as_json: bool) -> int:
    answer = node.ask("ps") if STATE.exists() else None
    components = answer["components"] if answer else {}
    net = None
    with contextlib.suppress(Failed):
        net = current_net() if answer else None
    ready = net is not None and api_ready()
    described = {
        "running": answer is not None,
        "api_ready": ready,
        "node_ready": ready and node_ready(),
        "kubeconfig": str(STATE / "admin.kubeconfig"),
        "api": net and net.api,
        "node": net and net.node,
        "host_as_seen_by_pods": net and net.host,
        "pods": net and net.pods,
        "services": net and net.services,
        "registry": net and f"{net.node}:{registry.PORT}",
        "net": net and net.number,
    }
    if as_json:
        print(json.dumps({**described, "components": components}, indent=1))
    else:
        for key, value in described.items():
            print(f"{key:22} {'-' if value is None else value}")
        for name in [n for n in COMPONENTS if n in components]:
            one = components[name]
            running = f"running {one.get('seconds', 0):7.0f} s {one.get('rss_kib', 0) >> 10:5} MiB"
            print(f"  {name:24}", running if one["running"] else f"ended ({one['exit']})")
        if components:
            print(f"  {'all':41} {sum(c.get('rss_kib', 0) for c in components.values()) >> 10:5} MiB")
    return 0 if described["node_ready"] and all(c["running"] for c in components.values()) else 1


def print_kubeconfig(user: str) -> None:
    file = STATE / f"{user}.kubeconfig"
    if not file.exists():
        raise Failed(f"there is no {file}", "start the cluster: devcluster.py up")
    print(file)


def print_log(name: str, lines: int) -> None:
    if not component_log(name).exists():
        raise Failed(f"there is no log of {name}", f"components: init {' '.join(COMPONENTS)}")
    print("\n".join(component_log(name).read_text(errors="replace").splitlines()[-lines:]))


def run_kubectl(args: list[str]) -> None:
    program = STATE / "bin/kubectl"
    if not program.exists():
        raise Failed("the cluster is not running", "start it: devcluster.py up")
    os.execv(program, [str(program), f"--kubeconfig={STATE}/admin.kubeconfig", *args])


def execute(args: list[str]) -> None:
    words = ["nsenter", "-t", str(node.pid()), "-m", "-n", "-p", "--", *args]
    os.execvpe("nsenter", words, {**os.environ, **programs()})


def use(args: list[str]) -> None:
    """Run a command for which this cluster is the one to use; what the caller has set, stays."""
    up(jupyter=False)
    chosen = {
        "PLAYGROUND_KUBECONFIG": str(STATE / "admin.kubeconfig"),
        "PLAYGROUND_DATABASE_IMAGE": IMAGE_PREFIX + IMAGES["mariadb"],
        "PLAYGROUND_ARCHIVER_IMAGE": IMAGE_PREFIX + IMAGES["archiver"],
        "PLAYGROUND_ARCHIVE": "volume:playground-archives",
        "PLAYGROUND_CLIENT_NETWORKS": f"{current_net().host}/32",
    }
    os.execvpe(args[0], args, {**chosen, **os.environ})


def kill(name: str, number: str) -> None:
    try:
        value = int(number) if number.isdigit() else signal.Signals["SIG" + number.removeprefix("SIG")].value
    except KeyError as error:
        raise Failed(f"there is no signal {number}") from error
    if node.ask("signal", name=name, number=value) is None:
        raise Failed("the cluster is not running", "start it: devcluster.py up")


def cut(broken: bool) -> None:
    rule = ("PREROUTING", "-i", "eth0", "-j", "DROP")
    iptables = ("iptables", "-w", "-t", "mangle")
    try:
        node.inside(*iptables, "-C", *rule)
        is_cut = True
    except Failed:
        is_cut = False
    if broken != is_cut:
        node.inside(*iptables, "-I" if broken else "-D", *rule)


def load(archive: pathlib.Path, reference: str) -> None:
    pushed = registry.push(current_net().node, archive, reference)
    print(f"{IMAGE_PREFIX}{reference}", "pushed" if pushed else "is there")


def build(jupyter: bool) -> None:
    prerequisites.check(jupyter)
    artefacts.build(artefacts.wanted(jupyter))


# ---- command line -------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS)

    def command(name: str, *options: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name)
        for option in options:
            one.add_argument(option, action="store_true")
        return one

    command("up", "--jupyter")
    command("build", "--jupyter")
    command("status", "--json")
    command("kubeconfig").add_argument("user", nargs="?", default="admin", choices=("admin", "robot"))
    logs = command("logs")
    logs.add_argument("name")
    logs.add_argument("-n", type=int, default=30, dest="lines")
    kill_command = command("kill")
    kill_command.add_argument("name")
    kill_command.add_argument("signal", nargs="?", default="9")
    command("start").add_argument("name", nargs="+")
    command("cut")
    command("heal")
    load_command = command("load")
    load_command.add_argument("archive", type=pathlib.Path)
    load_command.add_argument("reference", metavar="NAME:TAG")
    command("down", "--purge")
    return top


def main(args: list[str]) -> int:
    # These three pass on whatever follows, options and all.
    if args[:1] == ["kubectl"]:
        run_kubectl(args[1:])
    if args[:1] == ["exec"] and args[1:]:
        execute(args[1:])
    if args[:1] == ["use"] and args[1:]:
        use(args[1:])
    if args[:1] == ["_init"]:
        os.umask(0o022)  # containerd makes containers' roots by it, and not every container runs as root
        node.Init().run()
    given = parser().parse_args(args)
    match given.command:
        case "up":
            up(given.jupyter)
        case "build":
            build(given.jupyter)
        case "status":
            return status(given.json)
        case "kubeconfig":
            print_kubeconfig(given.user)
        case "logs":
            print_log(given.name, given.lines)
        case "kill":
            kill(given.name, given.signal)
        case "start":
            start(*given.name)
        case "cut":
            cut(True)
        case "heal":
            cut(False)
        case "load":
            load(given.archive, given.reference)
        case "down":
            down(given.purge)
    return 0


def interrupt(*_) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # So that a build's programs are ended, whoever asks for it; a shell's background job would ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as problem:
        print(f"devcluster: {problem}", file=sys.stderr)
        if problem.hint:
            print(f"What to do: {problem.hint}", file=sys.stderr)
        sys.exit(1)
    except PermissionError as problem:
        print(f"devcluster: {problem}\nWhat to do: run it as root", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("devcluster: interrupted; the same command again goes on", file=sys.stderr)
        sys.exit(130)
