"""The pods that store and fetch: what they may see, and what they may not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.leases import Owner
from shared.manifests import database, tasks
from shared.manifests.mariadb import Spec
from shared.manifests.tasks import Job, Kind
from shared.ports.archives import Place
from shared.ports.cluster import Life, Task

LIFE = Life(Owner("acme", "Alice B"), "database", "abcdefghij0123456789", "Pass1", "Root1")
SPEC = Spec(image="mariadb:10.11", archiver="archiver:1", archive_days=31)
URL = "https://acme.blob.core.windows.net/archives/x.archive?sig=hunter2"
STORE = Job(Kind.STORE, Task("x-3", "a2V5", "acme/alice x-3", Place(url=URL)))
FETCHED = replace(STORE.task, sha256="ab" * 32, size=7)
RESTORE = Job(Kind.RESTORE, FETCHED)
KEPT_AT = Place(claim="archives", path="x-3.archive")


def template(job: Job) -> dict[str, Any]:
    ordinary = database.stateful_set(LIFE, SPEC, "plane-a", "uid", 4, replicas=1)["spec"]["template"]
    return tasks.template(LIFE, SPEC, "plane-a", job, ordinary)


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def mounts(container: dict[str, Any]) -> dict[str, str]:
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("job", [STORE, RESTORE])
def test_no_secret_is_in_a_pod_and_all_are_in_its_secret(job: Job):
    told = json.dumps(template(job))
    assert not any(secret in told for secret in ("hunter2", "a2V5", "Root1", "Pass1"))
    secret = tasks.secret(database.metadata_of(LIFE, "plane-a", "uid"), LIFE, job)
    accounts = (
        "ALTER USER 'root'@'localhost' IDENTIFIED BY 'Root1';\nALTER USER 'notebook'@'%' IDENTIFIED BY 'Pass1';\n"
    )
    assert secret["stringData"] == {"key": "a2V5", "url": URL, "accounts.sql": accounts}
    assert secret["metadata"]["name"] == tasks.secret_name(LIFE.generation, job.mark)
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid", "it goes with the volume at the latest"
    assert "hunter2" not in repr(job)


def test_each_task_has_a_secret_of_its_own():
    later = Job(Kind.STORE, replace(STORE.task, name="x-9"))
    names = {tasks.secret_name(LIFE.generation, job.mark) for job in (STORE, RESTORE, later)}
    assert len(names) == 3 and all(name.startswith("pg-abcdefghij0123456789-") for name in names)


def test_what_stores_packs_first_and_what_has_the_way_out_sees_no_more_than_that():
    pod = template(STORE)["spec"]
    [pack], [archiver] = pod["initContainers"], pod["containers"]
    assert (pack["image"], pack["args"]) == ("archiver:1", ["pack"])
    assert environment(pack) == {"ARCHIVE_FOLDER": "/var/lib/mysql", "ARCHIVE_DUMP": "/archive/data.tar.gz"}
    assert {"name": "data", "mountPath": "/var/lib/mysql", "readOnly": True} in pack["volumeMounts"]
    assert (archiver["image"], archiver["args"]) == ("archiver:1", ["store"])
    assert mounts(archiver) == {"/archive": "work", "/tmp": "tmp"}, "not the volume itself"
    ref = {"name": tasks.secret_name(LIFE.generation, STORE.mark)}
    assert environment(archiver) == {
        "ARCHIVE_KEY": {"secretKeyRef": ref | {"key": "key"}},
        "ARCHIVE_URL": {"secretKeyRef": ref | {"key": "url"}},
        "ARCHIVE_CONTEXT": "acme/alice x-3",
        "ARCHIVE_DUMP": "/archive/data.tar.gz",
        "ARCHIVE_DONE": "/archive/done.json",
    }


def test_what_restores_fetches_and_unpacks_and_its_server_is_reached_by_nobody():
    pod = template(RESTORE)["spec"]
    [fetch, unpack], [server] = pod["initContainers"], pod["containers"]
    assert (fetch["args"], unpack["args"]) == (["fetch"], ["unpack"])
    assert environment(fetch)["ARCHIVE_SHA256"] == "ab" * 32 and environment(fetch)["ARCHIVE_SIZE"] == "7"
    assert mounts(fetch) == {"/archive": "work", "/tmp": "tmp"}
    assert mounts(unpack) == {"/archive": "work", "/var/lib/mysql": "data"}
    assert server["args"][-2:] == ["--bind-address=127.0.0.1", "--init-file=/run/playground/accounts.sql"]
    [accounts] = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "accounts"]
    assert accounts["items"] == [{"key": "accounts.sql", "path": "accounts.sql"}], "and not the key of the archive"


@pytest.mark.parametrize("kind", Kind)
def test_a_volume_of_archives_takes_the_place_of_a_url(kind: Kind):
    pod = template(Job(kind, replace(FETCHED, place=KEPT_AT)))["spec"]
    archiver = pod["containers" if kind is Kind.STORE else "initContainers"][0]
    told = environment(archiver)
    assert told["ARCHIVE_FILE"] == "/kept/x-3.archive" and "ARCHIVE_URL" not in told
    assert told.get("ARCHIVE_KEEP_DAYS") == ("31" if kind is Kind.STORE else None)
    [mount] = [mount for mount in archiver["volumeMounts"] if mount["name"] == "kept"]
    assert mount.get("readOnly", False) == (kind is Kind.RESTORE)
    assert {"name": "kept", "persistentVolumeClaim": {"claimName": "archives"}} in pod["volumes"]


@pytest.mark.parametrize("job", [STORE, RESTORE])
def test_its_pod_belongs_to_the_statefulset_and_says_what_it_is(job: Job):
    made = template(job)
    assert made["metadata"]["labels"].items() >= {"playground.dev/task": job.kind.value}.items()
    assert made["metadata"]["annotations"]["playground.dev/task"] == job.mark
    assert made["metadata"]["labels"]["playground.dev/generation"] == LIFE.generation
    for container in made["spec"]["initContainers"] + made["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"], "as the database's own"
    assert made["spec"]["securityContext"]["runAsNonRoot"]


@pytest.mark.parametrize(("url", "port"), [(URL, 443), ("http://192.0.2.1:10000/a/b/c", 10000), ("http://a/b", 80)])
def test_only_tasks_have_a_way_out_and_only_to_where_archives_are(url: str, port: int):
    policy = tasks.network_policy("plane-a", url)
    assert policy["metadata"]["name"] == f"playground-tasks-plane-a-{port}"
    assert policy["spec"] == {
        "podSelector": {
            "matchLabels": {"playground.dev/plane": "plane-a"},
            "matchExpressions": [{"key": "playground.dev/task", "operator": "Exists"}],
        },
        "policyTypes": ["Egress"],
        "egress": [
            {
                "ports": [
                    {"protocol": "UDP", "port": 53},
                    {"protocol": "TCP", "port": 53},
                    {"protocol": "TCP", "port": port},
                ]
            }
        ],
    }


def test_a_volume_of_archives_is_of_the_size_and_class_that_were_set():
    claim = tasks.archive_claim("archives", replace(SPEC, archive_storage="3Gi", storage_class="fast"))
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "3Gi"}},
        "storageClassName": "fast",
    }
    assert "playground.dev/plane" not in claim["metadata"]["labels"], "it is no workload of a lease"
