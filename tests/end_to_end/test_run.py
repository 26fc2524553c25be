"""`make run`'s command, from nothing to Ctrl-C, as its own process."""

import json
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import dotenv
import httpx
import pytest
import yaml

from tests.cluster_fixture import ROOT, RealCluster
from tests.end_to_end.conditions import until
from tests.end_to_end.runs import Playground, Run
from tests.end_to_end.servers import PLUGIN_PATIENCE
from tests.end_to_end.sources import Source

SERVES = "until Ctrl-C"


@pytest.fixture(scope="module")
def playground(real_cluster: RealCluster, tmp_path_factory) -> Iterator[Playground]:
    made = Playground(real_cluster, tmp_path_factory.mktemp("run"))
    try:
        yield made
    finally:
        made.end()


def notebook(env_file: Path) -> tuple[httpx.Response, httpx.Response]:
    """create_db and the first heartbeat, knowing nothing but what the plugin reads from its settings."""
    given = dotenv.dotenv_values(env_file)
    user = given[given["SQLFLOW_PLAYGROUND_USER_ID_ENV"]]
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.load_cert_chain(given["SQLFLOW_PLAYGROUND_CLIENT_CERT"], given["SQLFLOW_PLAYGROUND_CLIENT_KEY"])
    context.load_verify_locations(given["SQLFLOW_PLAYGROUND_SERVER_CA"])
    context.check_hostname = False
    server = given["SQLFLOW_PLAYGROUND_SERVRE"]
    with httpx.Client(verify=context, timeout=PLUGIN_PATIENCE, trust_env=False) as http:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        created = http.post(f"{server}/api/create_db", content=json.dumps({"user_id": user}), headers=form)
        return created, http.get(f"{server}/api/heart_beat?user_id={user}")


def main_job_was_shown(said: str) -> None:
    assert re.search(
        r"POST https://127\.0\.0\.1:\d+/api/create_db … \d+\.\d s\n    data_source: mysql://notebook:••••@tcp", said
    )
    assert '"renewed":true' in said
    assert "mine.notes: 'written and read back'; iris.train has 120 rows; 10.11" in said


def test_ctrl_c_at_any_moment_of_the_start_ends_it_and_breaks_nothing(playground):
    folder = playground.folder / "interrupted"
    for moment in ("made a", "server,", "create_db", "SQL"):
        run = playground.run(folder=folder)
        run.until_it_says(moment)
        if moment == "create_db":
            until(playground.a_pod)
        done = (0,) if moment == "SQL" else ()  # that takes milliseconds, and then the server goes on and ends in order
        assert run.ctrl_c() in (130, *done), run.said()
        assert "Traceback" not in run.said()
        assert playground.nobody_listens(), "its server ended with it"
    run = playground.run(folder=folder)
    run.until_it_says(SERVES)
    main_job_was_shown(run.said())
    assert run.ctrl_c() == 0


def test_run_shows_the_main_job_and_serves_a_notebook_until_ctrl_c(playground, tmp_path):
    env_file = playground.kept / "sqlflow_playground.env"
    devcluster = playground.cluster.devcluster
    first = (
        playground.run(
            ROOT / "scripts/cluster", PLAYGROUND_KUBECONFIG="", PLAYGROUND_DATABASE_IMAGE="",
            PLAYGROUND_CLIENT_NETWORKS="", PLAYGROUND_PROBE="", DEVCLUSTER_DIR=str(devcluster.folder),
        )
        if devcluster
        else playground.run(PLAYGROUND_PROBE="")
    )  # fmt: skip
    first.until_it_says(SERVES)
    main_job_was_shown(first.said())
    created, beat = notebook(env_file)
    assert created.status_code == beat.status_code == 200
    assert beat.json()["renewed"]
    source = Source.parse(created.json()["data_source"])
    log = playground.kept / "server.log"
    until(lambda: "a database was made, reached and taken away" in log.read_text())
    assert source.password not in first.said() + log.read_text()
    source.keep("between two runs")
    assert first.ctrl_c() == 0
    assert playground.nobody_listens()
    assert source.kept() == ["between two runs"], "the database does not need its control plane"

    second = playground.run()
    second.until_it_says(SERVES)
    assert "  made " not in second.said(), "all of it is there"
    created, beat = notebook(env_file)
    assert Source.parse(created.json()["data_source"]) == source
    assert source.kept() == ["between two runs"]
    assert second.ctrl_c() == 0
    assert "Traceback" not in first.said() + second.said()


def test_a_closed_terminal_ends_it_and_its_server(playground):
    run = playground.run()
    run.until_it_says(SERVES)
    run.process.send_signal(signal.SIGHUP)
    assert run.process.wait(40) == 0
    assert playground.nobody_listens()


@pytest.fixture
def alone(real_cluster: RealCluster, tmp_path: Path) -> Iterator[Playground]:
    made = Playground(real_cluster, tmp_path)
    try:
        yield made
    finally:
        made.end()


def test_down_stops_the_server_and_leaves_nothing_of_its_plane_on_the_cluster(alone):
    run = alone.run()
    run.until_it_says(SERVES)
    run.process.kill()
    run.process.wait(10)
    assert not alone.nobody_listens(), "its launcher was killed, and it serves on"
    second = alone.run()
    assert second.process.wait(60) == 1
    _, server = (alone.kept / "run.lock").read_text().split()
    assert f"{alone.kept} is in use by process {server}" in sentence(second)
    said = alone.down()
    assert f"stopped the server (process {server})" in said
    assert "deleting 1 database of " in said
    assert alone.nobody_listens()
    assert alone.namespace not in alone.namespaces(), "run had made it"
    assert not alone.kept.exists()
    assert alone.down() == "", "there is nothing more to do"


def test_down_leaves_a_namespace_that_was_there_before_and_what_is_not_ours(alone, namespace):
    namespace.core.create_namespaced_config_map(namespace.name, {"metadata": {"name": "theirs"}})
    run = alone.run(PLAYGROUND_NAMESPACE=namespace.name)
    run.until_it_says(SERVES)
    [generation] = namespace.standing()
    assert run.ctrl_c() == 0
    (alone.kept / "mine").touch()
    alone.down()
    assert namespace.standing() == {} and namespace.pods(generation) == []
    maps = namespace.core.list_namespaced_config_map(namespace.name).items
    assert {item.metadata.name for item in maps} == {"kube-root-ca.crt", "theirs"}
    assert [file.name for file in alone.kept.iterdir()] == ["mine"]


def test_with_the_least_rights_run_does_its_job_and_down_says_what_it_may_not_remove(alone, namespace):
    run = alone.run(PLAYGROUND_KUBECONFIG=str(namespace.kubeconfig), PLAYGROUND_NAMESPACE=namespace.name)
    run.until_it_says(SERVES)
    assert run.ctrl_c() == 0
    assert f"what databases share in namespace {namespace.name} stays: " in alone.down()
    assert namespace.standing() == {}


def test_down_leaves_a_namespace_to_another_control_plane(alone, playground):
    other = playground.run()
    other.until_it_says(SERVES)
    alone.run(PLAYGROUND_NAMESPACE=playground.namespace).until_it_says(SERVES)
    assert f"namespace {playground.namespace} stays: another control plane has databases there" in alone.down()
    created, _ = notebook(playground.kept / "sqlflow_playground.env")
    assert Source.parse(created.json()["data_source"]).sql("SELECT 1") == ((1,),)
    assert other.ctrl_c() == 0


def test_a_port_in_use_is_one_sentence(playground):
    with socket.create_server(("127.0.0.1", playground.port)):
        run = playground.run()
        assert run.process.wait(60) == 1
    address = f"--host=127.0.0.1 --port={playground.port}"
    said = f"playground: the server did not start: {address}: the port is in use; end who has it, or take another: "
    assert sentence(run) == said + "make run ARGS='--port=50054 --open-port=50055'"


@pytest.mark.parametrize("content", [None, "no: kubeconfig\n", "{"])
def test_a_kubeconfig_that_is_none_is_one_sentence(playground, tmp_path, content):
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    run = playground.run(PLAYGROUND_KUBECONFIG=str(path))
    assert run.process.wait(60) == 1
    assert sentence(run).startswith(f"playground: {path} cannot be used as a kubeconfig: ")


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "is silent"])
def test_a_cluster_that_does_not_answer_is_one_sentence(playground, tmp_path, silent):
    given = yaml.safe_load(Path(playground.cluster.kubeconfig).read_text())
    path = tmp_path / "kubeconfig"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        if silent:
            nobody.listen()
        for cluster in given["clusters"]:
            cluster["cluster"]["server"] = f"https://127.0.0.1:{nobody.getsockname()[1]}"
        path.write_text(yaml.safe_dump(given))
        run = playground.run(PLAYGROUND_KUBECONFIG=str(path))
        assert run.process.wait(60) == 1
    said = f"playground: the cluster of {path} cannot be used: the cluster cannot be reached: "
    assert sentence(run).startswith(said)
    assert len(sentence(run)) > len(said), "it says why"


def test_no_cluster_at_all_is_one_sentence(playground):
    run = playground.run(PLAYGROUND_KUBECONFIG="")
    assert run.process.wait(60) == 1
    assert sentence(run) == ("playground: PLAYGROUND_KUBECONFIG is not set: name the kubeconfig of the cluster to use")


def sentence(run: Run) -> str:
    """All that it complained, which is one line."""
    [line] = run.complained().splitlines()
    return line
