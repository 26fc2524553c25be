#!/usr/bin/env python3
"""build.py NAME WORKDIR ARCHIVE: one image of the development cluster as an OCI archive.

devcluster.py calls it with root, mmdebstrap in the PATH, the program of pause
and addons in $BINARY and, for jupyter and archiver, a pip command in $PIP and
the pinned packages in $PACKAGES (JSON). It reaches only Debian's mirror and PyPI.
Not one maintainer script runs.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
SUITE = "bookworm"
PREFIX = "devcluster.local/"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EMPTIED = ("proc", "sys", "dev", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/lib/dpkg/info")
OCI = "application/vnd.oci.image."


def archive(out: pathlib.Path, name: str, root: pathlib.Path, config: dict, keep: tuple[str, ...] = ()) -> None:
    """One uncompressed layer, numeric owners, reproducible order; of EMPTIED only what keep names goes in."""
    layer = out.with_suffix(".layer")
    tar = ["tar", "--numeric-owner", "--sort=name", "--mtime=@0", "--xattrs", "-C", root]
    excluded = [f"--exclude=./{folder}/*" for folder in EMPTIED if folder not in keep]
    subprocess.check_call([*tar, *excluded, "-cf", layer, "."])
    with open(layer, "rb") as file:
        layer_digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

    blobs = {}

    def blob(document: dict) -> dict:
        data = json.dumps(document).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"digest": digest, "size": len(data)}

    platform = {"architecture": "amd64", "os": "linux"}
    image_config = blob(
        {
            **platform,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            "history": [{"created_by": "build.py"}],
        }
    )
    manifest = blob(
        {
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": {"mediaType": OCI + "config.v1+json", **image_config},
            "layers": [{"mediaType": OCI + "layer.v1.tar", "digest": layer_digest, "size": layer.stat().st_size}],
        }
    )
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    entry = {"mediaType": OCI + "manifest.v1+json", **manifest, "platform": platform, "annotations": names}
    with tarfile.open(out, "w") as whole:

        def add(path: str, data: bytes) -> None:
            member = tarfile.TarInfo(path)
            member.size = len(data)
            whole.addfile(member, io.BytesIO(data))

        add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add("index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        for digest, data in blobs.items():
            add("blobs/sha256/" + digest.removeprefix("sha256:"), data)
        whole.add(layer, "blobs/sha256/" + layer_digest.removeprefix("sha256:"))
    layer.unlink()


# ---- parts of images ----------------------------------------------------------------------------------------------


def mirror() -> list[str]:
    """Where this machine's apt takes SUITE from; elsewhere nothing: mmdebstrap knows its own default."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [uri for uri, suite, component in map(str.split, lines) if (suite, component) == (SUITE, "main")]
    return found[:1]


def debian(root: pathlib.Path, packages: tuple[str, ...], *excluded: str) -> None:
    """Unpack packages and what they depend on."""
    documents = tuple(f"/usr/share/{folder}/*" for folder in ("doc", "man", "locale", "info", "lintian"))
    paths = (*documents, "/usr/lib/x86_64-linux-gnu/gconv/*", *excluded)
    merged = 'for d in bin sbin lib lib64; do mkdir -p "$1/usr/$d"; ln -s usr/$d "$1/$d"; done'
    command = ["unshare", "-m", "mmdebstrap", "--quiet", "--mode=root", "--variant=extract"]
    command += ["--include=" + ",".join(packages), "--setup-hook=" + merged]
    command += [f"--dpkgopt=path-exclude={path}" for path in paths]
    subprocess.check_call([*command, SUITE, root, *mirror()])


def users(root: pathlib.Path, *users_of_its_own: str) -> None:
    """passwd and group, and the folders that a runtime mounts over."""
    (root / "etc").mkdir(exist_ok=True)
    rows = ("root:x:0:0:root:/root:/bin/sh", *users_of_its_own, "nobody:x:65534:65534:nobody:/nonexistent:/bin/false")
    (root / "etc/passwd").write_text("\n".join(rows) + "\n")
    groups = {"root": "0", "users": "100", "nogroup": "65534"}
    groups |= {row.split(":")[0]: row.split(":")[3] for row in users_of_its_own}
    (root / "etc/group").write_text("".join(f"{name}:x:{number}:\n" for name, number in groups.items()))
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for folder in ("proc", "sys", "dev", "run", "root", "tmp"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)


def put(source: pathlib.Path, target: pathlib.Path, mode: int = 0o755) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def owned(folder: pathlib.Path, user: int, group: int, mode: int = 0o755) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, user, group)
    folder.chmod(mode)
    return folder


# ---- images -------------------------------------------------------------------------------------------------------


def pause(root: pathlib.Path) -> tuple[str, dict]:
    put(pathlib.Path(os.environ["BINARY"]), root / "pause")
    return "pause:3.10", {"Entrypoint": ["/pause"], "User": "65535:65535"}


def addons(root: pathlib.Path) -> tuple[str, dict]:
    put(pathlib.Path(os.environ["BINARY"]), root / "addons")
    users(root)
    return "addons:1", {"Entrypoint": ["/addons"], "Env": [PATH]}


def busybox(root: pathlib.Path) -> tuple[str, dict]:
    """Its wget crashes with -T: use "timeout 1 wget"."""
    debian(root / "unpacked", ("busybox-static",))
    put(root / "unpacked/bin/busybox", root / "bin/busybox")
    shutil.rmtree(root / "unpacked")
    for applet in subprocess.check_output([root / "bin/busybox", "--list"], text=True).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    users(root)
    return "busybox:1.35", {"Cmd": ["sh"], "Env": [PATH]}


# An empty database, made once here: making it takes three quarters of a first start. The host name is localhost, and
# the accounts of root at addresses, which have no password, are dropped: root is root@localhost and no other.
EMPTY_DATABASE = """
hostname localhost
mount --bind /dev "$0/dev"
in_image() { chroot --userspec=999:999 "$0" "$@"; }
in_image mariadb-install-db --datadir=/usr/share/mysql/empty --skip-test-db --skip-name-resolve \\
    --auth-root-authentication-method=normal --force --innodb-log-file-size=4M
in_image mariadbd --datadir=/usr/share/mysql/empty --bootstrap --innodb-log-file-size=4M <<SQL
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
SQL
"""


def mariadb(root: pathlib.Path) -> tuple[str, dict]:
    debian(
        root,
        (
            *("mariadb-server-core", "mariadb-client-core", "mariadb-common", "bash", "dash", "coreutils"),
            *("findutils", "gzip", "base-files", "sed", "grep", "hostname"),
        ),
        "/usr/share/mysql/mysql-test/*",
        "/usr/bin/mariadb-backup",
        "/usr/bin/mariabackup",
    )
    users(root, "mysql:x:999:999::/var/lib/mysql:/bin/false")
    put(HERE / "mariadb/docker-entrypoint.sh", root / "usr/local/bin/docker-entrypoint.sh")
    for folder in ("conf.d", "mariadb.conf.d"):
        (root / "etc/mysql" / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/mysql/my.cnf").unlink(missing_ok=True)
    put(HERE / "mariadb/my.cnf", root / "etc/mysql/my.cnf", 0o644)
    (root / "docker-entrypoint-initdb.d").mkdir()
    owned(root / "var/lib/mysql", 999, 999)
    # Where no volume is mounted there and the root is read-only, the socket is in the data directory.
    (owned(root / "run/mysqld", 999, 999) / "mysqld.sock").symlink_to("/var/lib/mysql/.run/mysqld.sock")
    owned(root / "usr/share/mysql/empty", 999, 999)
    name, _, value = PATH.partition("=")
    subprocess.check_call(["unshare", "-m", "-u", "sh", "-ec", EMPTY_DATABASE, root], env={name: value})
    return "mariadb:10.11", {
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": ["mariadbd"],
        "User": "999:999",
        "Env": [PATH, "LANG=C.UTF-8"],
        "ExposedPorts": {"3306/tcp": {}},
        "Volumes": {"/var/lib/mysql": {}},
    }


def pip_install(root: pathlib.Path, target: pathlib.Path, *packages: str) -> None:
    """With the image's own Python: what a package requires depends on the Python that pip runs on.

    Not inside the image, so that this machine's settings of pip count.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call([*json.loads(os.environ["PIP"]), "download", "-q", "--no-deps", "-d", folder, "pip"])
        pip = next(pathlib.Path(folder).glob("pip-*.whl")) / "pip"
        libraries = root / "usr/lib/x86_64-linux-gnu"
        python = [
            libraries / "ld-linux-x86-64.so.2",
            "--library-path",
            libraries,
            root / "usr/bin/python3.11",
            "-B",
            pip,
        ]
        options = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--no-compile"]
        command = [*python, "install", *options, "--only-binary=:all:", "--target", target, *packages]
        subprocess.check_call(command, env={**os.environ, "PYTHONHOME": str(root / "usr")})


UNUSED_OF_PYTHON = ("/usr/lib/python3*/test/*", "/usr/lib/python3*/idlelib/*")


def archiver(root: pathlib.Path) -> tuple[str, dict]:
    debian(root, ("python3", "libpython3-stdlib", "base-files"), *UNUSED_OF_PYTHON)
    users(root, "mysql:x:999:999::/nonexistent:/bin/false")
    site = root / "usr/local/lib/python3.11/dist-packages"
    pip_install(root, site, *json.loads(os.environ["PACKAGES"]))
    shutil.rmtree(site / "bin", ignore_errors=True)
    for source in (REPOSITORY / "archiver").glob("*.py"):
        put(source, site / "archiver" / source.name, 0o644)
    # By what is in them: every file gets the time 0, and compiling anew would be most of a start.
    how = ("-q", "-j2", "--invalidation-mode", "unchecked-hash")
    compiled = ("/usr/local/lib/python3.11", "/usr/lib/python3.11")
    command = ["chroot", root, "python3", "-m", "compileall", *how, *compiled]
    subprocess.check_call(command, stdout=subprocess.DEVNULL)
    return "archiver:1", {
        "Entrypoint": ["python3", "-m", "archiver"],
        "User": "999:999",
        "Env": [PATH, "LANG=C.UTF-8"],
    }


def jupyter(root: pathlib.Path) -> tuple[str, dict]:
    debian(
        root,
        (
            *("python3", "libpython3-stdlib", "libstdc++6", "dash", "bash", "coreutils", "base-files"),
            *("sed", "grep", "ca-certificates", "tini"),
        ),
        *UNUSED_OF_PYTHON,
    )
    users(root, "jovyan:x:1000:100::/home/jovyan:/bin/bash")
    site = root / "usr/local/lib/python3.11/dist-packages"
    pip_install(root, site, "jupyterlab", "ipykernel", "pymysql")
    for script in (site / "bin").iterdir():  # with the image's interpreter
        first, _, rest = script.read_text().partition("\n")
        if first.startswith("#!"):
            script.write_text("#!/usr/bin/python3\n" + rest)
        put(script, root / "usr/local/bin" / script.name)
    shutil.rmtree(site / "bin")
    for folder in ("share", "etc"):  # kernelspec, lab's static files, server extensions
        if (site / folder).is_dir():
            shutil.copytree(site / folder, root / "usr/local" / folder, dirs_exist_ok=True)
            shutil.rmtree(site / folder)
    (root / "usr/bin/python").symlink_to("python3")
    spec = root / "usr/local/share/jupyter/kernels/python3/kernel.json"
    kernel = json.loads(spec.read_text())
    kernel["argv"][0] = "/usr/bin/python3"
    spec.write_text(json.dumps(kernel))
    put(HERE / "jupyter/start-notebook.py", root / "usr/local/bin/start-notebook.py")
    put(HERE / "jupyter/jupyter_server_config.py", root / "etc/jupyter/jupyter_server_config.py", 0o644)
    compiled = ("/usr/local/lib/python3.11", "/usr/lib/python3.11")
    command = ["chroot", root, "python3", "-m", "compileall", "-q", "-j2", *compiled]
    subprocess.check_call(command, stdout=subprocess.DEVNULL)
    owned(root / "home/jovyan", 1000, 100, 0o2775)
    variables = {
        "HOME": "/home/jovyan",
        "NB_USER": "jovyan",
        "NB_UID": "1000",
        "NB_GID": "100",
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "JUPYTER_PORT": "8888",
    }
    return "jupyter:1", {
        "Entrypoint": ["tini", "-g", "--"],
        "Cmd": ["start-notebook.py"],
        "User": "1000",
        "WorkingDir": "/home/jovyan",
        "Env": [PATH, *(f"{name}={value}" for name, value in variables.items())],
        "ExposedPorts": {"8888/tcp": {}},
    }


BUILDERS = {
    "pause": pause,
    "addons": addons,
    "busybox": busybox,
    "mariadb": mariadb,
    "archiver": archiver,
    "jupyter": jupyter,
}
KEPT = {"mariadb": ("run",)}


def main() -> None:
    name, work, out = sys.argv[1:]
    os.umask(0o022)  # what is installed gets its modes by it, and not every container runs as root
    with tempfile.TemporaryDirectory(dir=work) as folder:
        root = pathlib.Path(folder) / "root"
        root.mkdir(mode=0o755)
        reference, config = BUILDERS[name](root)
        archive(pathlib.Path(out).resolve(), PREFIX + reference, root, config, KEPT.get(name, ()))


if __name__ == "__main__":
    main()
