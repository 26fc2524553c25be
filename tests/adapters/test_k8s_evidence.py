"""What is not certain is unknown, and no answer's content reaches a log."""

import asyncio
import logging

import pytest

from shared.adapters.k8s import evidence as module
from shared.adapters.k8s.api import Output
from shared.adapters.k8s.databases import Databases
from shared.manifests.mariadb import Spec
from shared.ports.cluster import Evidence
from tests.contract.cluster_worlds import life
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request

ALICE = life()


@pytest.fixture
def kubernetes() -> Kubernetes:
    return Kubernetes(auto=True)


@pytest.fixture
async def cluster(kubernetes) -> Databases:
    cluster = Databases(kubernetes, Spec(image="x"), "plane-a")
    await cluster.start(ALICE, 1)
    return cluster


async def test_what_the_server_counts_is_told(kubernetes, cluster):
    server = kubernetes.controllers.server(ALICE.generation)
    server.connect()
    server.connect()
    server.disconnect()
    server.execute()
    server.executing = 1
    start = (await cluster.status(ALICE.generation)).server
    assert await cluster.evidence(ALICE.generation) == Evidence(1, 2, 1, True, start)


async def test_a_server_that_started_again_is_another_one(kubernetes, cluster):
    kubernetes.controllers.server(ALICE.generation).connect()
    before = await cluster.evidence(ALICE.generation)
    kubernetes.controllers.restart(ALICE.generation)
    after = await cluster.evidence(ALICE.generation)
    assert (after.connected, before.connected) == (0, 1)
    assert after.server != before.server


async def test_numbers_of_a_server_that_starts_while_it_is_asked_are_nobody_s(kubernetes, cluster):
    async def gate(request: Request) -> Fate | None:
        if (request.verb, request.moment) == ("run", "after"):
            kubernetes.controllers.restart(ALICE.generation)
        return None

    kubernetes.gate = gate
    assert await cluster.evidence(ALICE.generation) is None


@pytest.mark.parametrize("fault", ["deaf", "babbling"])
async def test_a_server_that_answers_nothing_or_nonsense_is_unknown(kubernetes, cluster, fault, caplog):
    setattr(kubernetes.controllers.server(ALICE.generation), fault, True)
    with caplog.at_level(logging.WARNING):
        assert await cluster.evidence(ALICE.generation) is None
    assert len(caplog.records) == 1
    assert "Too many connections" not in caplog.text


@pytest.mark.parametrize("output", [b"1\t0\t1", b"1\t0\t1\t1\t1", b"-1\t0\t1\t1", b"1\t0\t1\tNULL", b"\xff", b""])
async def test_an_answer_that_is_not_four_numbers_is_unknown(kubernetes, cluster, output, monkeypatch):
    async def run(pod, container, argv):
        return Output(0, output)

    monkeypatch.setattr(kubernetes, "run", run)
    assert await cluster.evidence(ALICE.generation) is None


async def test_a_cluster_that_does_not_answer_is_unknown(kubernetes, cluster):
    async def gate(request: Request) -> Fate | None:
        return Fate.LOST if request.verb == "run" else None

    kubernetes.gate = gate
    assert await cluster.evidence(ALICE.generation) is None


async def test_a_server_that_hangs_is_unknown_in_time(kubernetes, cluster, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.01)

    async def run(pod, container, argv):
        await asyncio.Event().wait()

    monkeypatch.setattr(kubernetes, "run", run)
    assert await cluster.evidence(ALICE.generation) is None


async def test_a_pod_on_its_way_out_is_not_asked(kubernetes, cluster):
    kubernetes.controllers.asleep = True
    await cluster.stop(ALICE.generation, 2)
    assert await cluster.evidence(ALICE.generation) is None
    assert not [request for request in kubernetes.requests if request.verb == "run"]
