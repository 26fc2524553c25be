"""The start-up probe: what it says of a cluster, and that it leaves nothing."""

from pathlib import Path

import pytest
import yaml

from shared.adapters.k8s.databases import Databases
from shared.adapters.k8s.probe import Findings, Probe
from shared.adapters.k8s.rights import RIGHTS
from shared.manifests.mariadb import Spec
from tests.contract.cluster_worlds import life
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate

SPEC = Spec(image="mariadb:10.11", client_networks=("192.0.2.0/24",))
NOW = 1_700_000_000.0


async def reached(address: str) -> str:
    return ""


async def not_reached(address: str) -> str:
    return "no answer"


@pytest.fixture
def kubernetes() -> Kubernetes:
    return Kubernetes(auto=True)


def left(kubernetes: Kubernetes) -> list[str]:
    """What stands but the shared init scripts."""
    return [f"{kind} {name}" for kind, name in kubernetes.objects if kind not in ("ConfigMap", "Event")]


async def test_a_cluster_on_which_all_is_well_leaves_nothing_to_say(kubernetes):
    findings = await Probe(kubernetes, SPEC, "plane-a", "test", reach=reached).run(NOW)
    assert findings == Findings(policy_enforced=True)
    assert findings.sentences == []
    assert left(kubernetes) == []


async def test_policies_that_are_not_enforced_are_told(kubernetes):
    kubernetes.controllers.policies = False
    findings = await Probe(kubernetes, SPEC, "plane-a", "test", reach=reached).run(NOW)
    assert findings.policy_enforced is False
    assert "not enforced" in findings.policy


async def test_pods_that_never_reach_each_other_prove_no_policy(kubernetes):
    kubernetes.controllers.pod_network = False
    findings = await Probe(kubernetes, SPEC, "plane-a", "test", reach=reached).run(NOW)
    assert findings.policy_enforced is None
    assert "could not be found out" in findings.policy


async def test_an_address_out_of_reach_says_what_to_set(kubernetes):
    findings = await Probe(kubernetes, SPEC, "plane-a", "test", reach=not_reached).run(NOW)
    assert "(no answer): set PLAYGROUND_ADDRESS=node-port or load-balancer" in findings.address
    assert "PLAYGROUND_CLIENT_NETWORKS (now: 192.0.2.0/24)" in findings.address


async def test_a_database_that_cannot_be_had_says_why(kubernetes):
    kubernetes.controllers.waiting = ("ErrImagePull", "no such image")
    findings = await Probe(kubernetes, SPEC, "plane-a", "test", reach=reached).run(NOW)
    assert findings.database == "no database can be had here: the image cannot be pulled: no such image"
    assert left(kubernetes) == []


async def test_rights_that_lack_are_named_and_nothing_is_made(kubernetes):
    kubernetes.forbidden = {"delete secrets", "create pods"}  # the probe needs no bare pods
    findings = await Probe(kubernetes, SPEC, "plane-a", "test", reach=reached).run(NOW)
    assert findings.rights == "the control plane may not: delete secrets; grant it its role"
    assert {request.kind for request in kubernetes.requests if request.verb == "create"} == {"SelfSubjectAccessReview"}


async def test_what_a_crashed_probe_left_is_removed_by_the_next(kubernetes):
    crashed, young = life(), life()
    earlier = Databases(kubernetes, SPEC, "plane-a-probe")
    await earlier.start(crashed, 1)
    made = float(kubernetes.clock.now())
    for _ in range(1000):
        kubernetes.clock.now()
    await earlier.start(young, 1)
    await Probe(kubernetes, SPEC, "plane-a", "test", reach=reached).run(made + 900)
    assert {name.removeprefix("StatefulSet pg-") for name in left(kubernetes) if "StatefulSet" in name} == {
        young.generation
    }


async def test_a_probe_is_no_workload_of_the_control_plane(kubernetes):
    await Databases(kubernetes, SPEC, "plane-a-probe").start(life(), 1)
    assert [w async for w in Databases(kubernetes, SPEC, "plane-a").workloads()] == []


async def test_a_cluster_that_does_not_answer_is_a_finding(kubernetes):
    async def gate(request):
        return Fate.LOST

    kubernetes.gate = gate
    findings = await Probe(kubernetes, SPEC, "plane-a", "test", reach=reached).run(NOW)
    assert findings.database == "no database can be made here: the request was lost"


def test_the_role_grants_exactly_what_is_needed():
    _, role, _ = yaml.safe_load_all((Path(__file__).parents[2] / "infra/kubernetes/role.yaml").read_text())
    granted: dict[tuple[str, str], tuple[str, ...]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted[group, resource] = tuple(rule["verbs"])
    assert granted == RIGHTS
