"""Certificates, kubeconfigs, configuration files and command lines of the components.

As in real clusters: a CA of the cluster's own, an identity for each component,
Node and RBAC authorization. No secret is fixed anywhere.
"""

import base64
import concurrent.futures
import json

from .progress import sh
from .registry import PORT
from .settings import CGROUP, IMAGE_PREFIX, IMAGES, NODE_NAME, STATE, Net

PKI = STATE / "pki"
PROXY_METRICS = 10249  # kube-proxy's port for measurements
CLIENTS = {  # name: its certificate's CN and O
    "admin": ("admin", "system:masters"),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "netpol": ("devcluster:netpol", ""),
}
KEY = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
REQUEST = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365")


def write(net: Net) -> None:
    certificates(net)
    for name in CLIENTS:
        data = {"client-certificate-data": encoded(f"{name}.crt"), "client-key-data": encoded(f"{name}.key")}
        kubeconfig(net, name, data)
    containerd(net)
    kubelet(net)
    (STATE / "registry.yml").write_text(
        "version: 0.1\n"
        "log: {level: warn, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {STATE}/registry}}, delete: {{enabled: true}}}}\n"
        f'http: {{addr: ":{PORT}"}}\n'
    )


# ---- identities ---------------------------------------------------------------------------------------------------


def authority(name: str) -> None:
    usage = ("-addext", "keyUsage=critical,keyCertSign,digitalSignature")
    files = ("-keyout", PKI / f"{name}.key", "-out", PKI / f"{name}.crt")
    sh(*REQUEST, "-subj", f"/CN=devcluster-{name}", *files, *usage)


def certificate(name: str, common_name: str, organization: str = "", hosts: str = "", ca: str = "ca") -> None:
    """A server's where hosts are given, otherwise a client's."""
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=" + ("serverAuth" if hosts else "clientAuth"),
    ]
    if hosts:
        extensions.append("subjectAltName=" + hosts)
    sh(
        *REQUEST,
        *("-CA", PKI / f"{ca}.crt", "-CAkey", PKI / f"{ca}.key"),
        *("-keyout", PKI / f"{name}.key", "-out", PKI / f"{name}.crt"),
        *("-subj", (f"/O={organization}" if organization else "") + f"/CN={common_name}"),
        *(word for e in extensions for word in ("-addext", e)),
    )


def certificates(net: Net) -> None:
    PKI.mkdir(mode=0o700)
    names = [f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    addresses = ("127.0.0.1", net.node, net.kubernetes_service)
    api_hosts = ",".join([f"DNS:{n}" for n in (*names, "localhost")] + [f"IP:{a}" for a in addresses])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(authority, ("ca", "front-proxy-ca")))
        jobs = [
            pool.submit(certificate, "apiserver", "kube-apiserver", hosts=api_hosts),
            pool.submit(certificate, "kubelet-server", NODE_NAME, hosts=f"DNS:{NODE_NAME},IP:{net.node},IP:127.0.0.1"),
            pool.submit(certificate, "apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
            pool.submit(certificate, "front-proxy", "front-proxy-client", ca="front-proxy-ca"),
            pool.submit(sh, "openssl", "genpkey", *KEY, "-out", PKI / "sa.key"),
            *(pool.submit(certificate, name, *subject) for name, subject in CLIENTS.items()),
        ]
        for job in jobs:
            job.result()
    sh("openssl", "pkey", "-in", PKI / "sa.key", "-pubout", "-out", PKI / "sa.pub")


def encoded(name: str) -> str:
    return base64.b64encode((PKI / name).read_bytes()).decode()


def kubeconfig(net: Net, user: str, credentials: dict[str, str], namespace: str = "default") -> None:
    cluster = {"server": net.api, "certificate-authority-data": encoded("ca.crt")}
    context = {"cluster": "devcluster", "user": user, "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "devcluster",
        "clusters": [{"name": "devcluster", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "devcluster", "context": context}],
    }
    file = STATE / f"{user}.kubeconfig"
    file.touch(mode=0o600)
    file.write_text(json.dumps(document, indent=1))  # JSON is YAML


# ---- node ---------------------------------------------------------------------------------------------------------


def containerd(net: Net) -> None:
    unused = json.dumps([f"io.containerd.snapshotter.v1.{s}" for s in ("btrfs", "zfs", "devmapper", "aufs")])
    (STATE / "containerd.toml").write_text(f"""version = 2
root = "{STATE}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = {unused}
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{STATE}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE_PREFIX}{IMAGES["pause"]}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  disable_apparmor = true
  enable_selinux = false
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{STATE}/debs/usr/lib/cni"
    conf_dir = "{STATE}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{STATE}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    discard_unpacked_layers = true
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{STATE}/debs/usr/sbin/runc"
        SystemdCgroup = false
""")
    own, others = STATE / "certs.d" / IMAGE_PREFIX.rstrip("/"), STATE / "certs.d/_default"
    for folder in (own, others, STATE / "cni"):
        folder.mkdir(parents=True)
    registry = f"http://127.0.0.1:{PORT}"
    (own / "hosts.toml").write_text(
        f'server = "{registry}"\n[host."{registry}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    # Every other registry is refused at once, as nothing outside can be reached from the node.
    (others / "hosts.toml").write_text('server = "http://127.0.0.1:1"\n')
    addresses = {
        "type": "host-local",
        "dataDir": f"{STATE}/ipam",
        "ranges": [[{"subnet": net.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": addresses,
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    network = {"cniVersion": "0.4.0", "name": "devcluster", "plugins": [bridge, portmap]}
    (STATE / "cni/10-devcluster.conflist").write_text(json.dumps(network))


def kubelet(net: Net) -> None:
    (STATE / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # nothing upstream: other names are refused at once
    eviction = {"memory.available": "100Mi", "nodefs.available": "1%"}
    eviction |= {"imagefs.available": "1%", "nodefs.inodesFree": "1%"}
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{PKI}/kubelet-server.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [net.dns],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{STATE}/resolv.conf",
        "podLogsDir": f"{STATE}/pods",
        "evictionHard": eviction,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 200,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        "volumePluginDir": f"{STATE}/volumeplugins",
        "shutdownGracePeriod": "0s",
        "nodeStatusUpdateFrequency": "5s",
    }
    (STATE / "kubelet.yaml").write_text(json.dumps(document, indent=1))


# ---- command lines ------------------------------------------------------------------------------------------------


def command_lines(net: Net) -> dict[str, list[str]]:
    def config(name: str) -> str:
        return f"--kubeconfig={STATE}/{name}.kubeconfig"

    etcd = "http://127.0.0.1:2379"
    unlimited = ("--kube-api-qps=200", "--kube-api-burst=400")
    lines = {
        "etcd": [
            "etcd",
            f"--data-dir={STATE}/etcd",
            "--unsafe-no-fsync",  # a killed process loses nothing by it, a crashed machine may
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--log-level=warn",
        ],
        "registry": ["addons", "registry", "serve", f"{STATE}/registry.yml"],
        "containerd": ["containerd", "-c", f"{STATE}/containerd.toml"],
        "kube-apiserver": [
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--advertise-address={net.node}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={net.services}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={PKI}/ca.crt",
            f"--tls-cert-file={PKI}/apiserver.crt",
            f"--tls-private-key-file={PKI}/apiserver.key",
            f"--kubelet-certificate-authority={PKI}/ca.crt",
            f"--kubelet-client-certificate={PKI}/apiserver-kubelet.crt",
            f"--kubelet-client-key={PKI}/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={PKI}/sa.pub",
            f"--service-account-signing-key-file={PKI}/sa.key",
            f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={PKI}/front-proxy.crt",
            f"--proxy-client-key-file={PKI}/front-proxy.key",
        ],
        "kube-controller-manager": [
            "kube-controller-manager",
            config("kube-controller-manager"),
            "--leader-elect=false",
            f"--root-ca-file={PKI}/ca.crt",
            f"--service-account-private-key-file={PKI}/sa.key",
            "--use-service-account-credentials=true",
            f"--cluster-signing-cert-file={PKI}/ca.crt",
            f"--cluster-signing-key-file={PKI}/ca.key",
            "--bind-address=127.0.0.1",
            *unlimited,
        ],
        "kube-scheduler": [
            "kube-scheduler",
            config("kube-scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            *unlimited,
        ],
        "kubelet": [
            "kubelet",
            f"--config={STATE}/kubelet.yaml",
            config("kubelet"),
            "--root-dir=/run/kubelet",  # STATE/kubelet, by a short name: it makes sockets below
            f"--cert-dir={PKI}",
            f"--node-ip={net.node}",
            f"--hostname-override={NODE_NAME}",
            "--v=2",
        ],
        "kube-proxy": [
            "kube-proxy",
            config("kube-proxy"),
            "--proxy-mode=iptables",
            f"--cluster-cidr={net.pods}",
            f"--hostname-override={NODE_NAME}",
            "--iptables-min-sync-period=200ms",
            f"--metrics-bind-address={net.node}:{PROXY_METRICS}",
            # The machine's conntrack limits are not ours to change.
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
        "netpol": ["addons", "netpol", f"-kubeconfig={STATE}/netpol.kubeconfig"],
    }
    return lines
