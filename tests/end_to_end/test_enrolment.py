"""From an operator's invitation to a notebook's database, by the commands people use; and a server that is killed.

While it begins anew parts of the cluster are dead, see `losing`: certificates need none of them.
"""

import json
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values

from tests.end_to_end.conditions import until
from tests.end_to_end.servers import PLUGIN_PATIENCE, foreign_environment
from tests.end_to_end.sources import Source

PLAYGROUND = Path(sys.executable).with_name("playground")


class Machine:
    """Somebody's computer: a folder, and what was enrolled there."""

    def __init__(self, server, folder, user):
        self.server, self.folder, self.user = server, folder, user
        folder.mkdir(exist_ok=True)

    def run(self, *arguments, said="", **settings):
        """What `playground` answers on this machine, where somebody says `said` to it."""
        return subprocess.run(
            [PLAYGROUND, *arguments], cwd=self.folder, env=foreign_environment() | settings, text=True, input=said,
            capture_output=True, timeout=60,
        )  # fmt: skip

    def invited(self):
        """A token, made as an operator does: next to the store."""
        done = self.run("certs", "invite", "user", self.user, **self.server.environment())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def enroll(self, token):
        ca, where = self.server.folder / "key_store/ca/ca.crt", f"https://127.0.0.1:{self.server.open_port}"
        return self.run("enroll", where, "--token", "-", "--ca", ca, "--server", self.server.url(), said=f"{token}\n")

    def settings(self):
        return dotenv_values(self.folder / ".playground/sqlflow_playground.env")

    def ask(self, method, path, **options):
        """As the notebook plugin would, with what was enrolled."""
        kept = self.settings()
        context = ssl.create_default_context(cafile=kept["SQLFLOW_PLAYGROUND_SERVER_CA"])
        context.check_hostname = False
        context.load_cert_chain(kept["SQLFLOW_PLAYGROUND_CLIENT_CERT"], kept["SQLFLOW_PLAYGROUND_CLIENT_KEY"])
        with httpx.Client(verify=context, timeout=PLUGIN_PATIENCE, trust_env=False) as http:
            return http.request(method, f"{kept['SQLFLOW_PLAYGROUND_SERVRE']}{path}", **options)

    def create_db(self):
        return self.ask("POST", "/api/create_db", json={"user_id": self.user})

    def serials(self):
        listed = self.run("certs", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        found = json.loads(listed.stdout)
        return [each["serial"] for each in (found["certificates"] if isinstance(found, dict) else found)]


@pytest.fixture
def machine(server, tmp_path, user):
    return Machine(server, tmp_path / "machine", user)


def test_who_is_invited_enrolls_has_a_database_renews_and_is_gone_when_revoked(machine):
    token = machine.invited()
    done = machine.enroll(token)
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr + machine.server.log()
    answer = machine.create_db()
    assert answer.status_code == 200, answer.text
    Source.parse(answer.json()["data_source"]).keep("mine")
    again = machine.enroll(token)
    assert again.returncode == 1 and "nothing" in again.stderr + again.stdout

    assert machine.run("certs", "renew").returncode == 0
    assert machine.create_db().json() == answer.json()
    first, second = machine.serials()
    assert machine.run("certs", "revoke", first).returncode == 0
    machine.server.turn(30)
    refused = machine.create_db()
    assert refused.status_code == 403 and "revoked" in refused.json()["detail"], "what was renewed from it goes with it"
    assert machine.ask("GET", f"/api/heart_beat?user_id={machine.user}").status_code == 403
    assert second != first


@pytest.mark.parametrize(
    "point", ["before keep holder", "after keep holder", "before issue a certificate", "after issue a certificate"]
)
def test_a_crash_in_an_enrolment_costs_no_token(machine, losing, point):
    token = machine.invited()
    machine.server.tell("crash", point, 1)
    assert machine.enroll(token).returncode == 3, "no answer"
    machine.server.await_death()
    with losing():
        machine.server.start()
        done = machine.enroll(token)
        assert done.returncode == 0, done.stderr
        assert len(machine.serials()) == 1
    assert machine.ask("GET", f"/api/heart_beat?user_id={machine.user}").status_code == 200


@pytest.mark.parametrize("point", ["after keep holder", "before issue a certificate"])
def test_a_crash_in_a_renewal_leaves_the_old_certificate_good(machine, losing, point):
    assert machine.enroll(machine.invited()).returncode == 0
    machine.server.tell("crash", point, 1)
    assert machine.run("certs", "renew").returncode == 3
    machine.server.await_death()
    with losing():
        machine.server.start()
        assert machine.ask("GET", f"/api/heart_beat?user_id={machine.user}").status_code == 200
        assert machine.run("certs", "renew").returncode == 0


@pytest.mark.parametrize(("point", "gone"), [("before keep holder", False), ("after keep holder", True)])
def test_a_crash_in_a_revocation_leaves_it_done_or_not_done(machine, losing, point, gone):
    assert machine.enroll(machine.invited()).returncode == 0
    [serial] = machine.serials()
    machine.server.tell("crash", point, 1)
    assert machine.run("certs", "revoke", serial).returncode == 3
    machine.server.await_death()
    with losing():
        machine.server.start()
        until(lambda: (machine.create_db().status_code == 403) == gone)
        if not gone:
            assert machine.run("certs", "revoke", serial).returncode == 0
