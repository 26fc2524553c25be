"""Which answers are counted as refusals, and what is told of each."""

from base64 import b64encode
from hashlib import sha256

import azure.functions as func
import pytest

from shared.domain import errors
from shared.domain.acting import Acting, acting
from shared.domain.identity import Principal, Role
from shared.domain.refusals import Refusal
from shared.edge import refusing

DER = b"\x30\x03\x02\x01\x01"
SHOWN = b64encode(DER).decode()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Refusal]:
    found: list[Refusal] = []
    monkeypatch.setattr(refusing, "told", lambda refusal, trace: found.append(refusal))
    return found


def tell(error: errors.PlaygroundError, header: str | None = None) -> None:
    headers = {} if header is None else {"X-ARR-ClientCert": header}
    refusing.tell("create_db", func.HttpRequest("GET", "/", headers=headers, body=b""), error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.NotAuthenticated("it has expired"), "not-authenticated: it has expired"),
        (errors.NotInvited("no token"), "not-invited: no token"),
        (errors.NotFound("/a/path"), "not-found"),
        (errors.NotAllowed("now"), "not-allowed"),
        (errors.PreconditionFailed("3"), "precondition-failed"),
        (errors.TooMany("20 a second"), "too-many"),
        (errors.InvalidRequest("a slip"), None),
        (errors.NotReady("starting"), None),
        (errors.StoreUnavailable("our own trouble"), None),
        (errors.SealBroken("our own trouble"), None),
    ],
)
def test_what_is_refused_is_told_and_neither_slips_nor_troubles_are(
    told: list[Refusal], error: errors.PlaygroundError, reason: str | None
):
    tell(error)
    assert [each.reason for each in told] == ([] if reason is None else [reason])


def test_who_was_refused_is_told_by_its_name_and_what_it_showed(told: list[Refusal]):
    before = acting.set(Acting(Principal("t", Role.USER, "eve"), "x"))
    tell(errors.TooMany(), SHOWN)
    acting.reset(before)
    assert told == [Refusal("create_db", "too-many", "spiffe://x/tenant/t/user/eve", sha256(DER).hexdigest())]


@pytest.mark.parametrize(
    ("header", "digest"),
    [(None, ""), ("", ""), (SHOWN, sha256(DER).hexdigest()), ("é", sha256("é".encode()).hexdigest())],
)
def test_whatever_stands_in_the_place_of_a_certificate_has_a_digest(
    told: list[Refusal], header: str | None, digest: str
):
    tell(errors.NotAuthenticated("no"), header)
    assert [(each.by, each.digest) for each in told] == [("", digest)]
