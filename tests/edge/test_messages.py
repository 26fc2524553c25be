"""A queued look names one lease, or it is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.leases import Owner
from shared.edge.messages import carried, encode, parse

ALICE = Owner("default", "alice")
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
TENANTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)


@settings(deadline=None)
@given(tenant=TENANTS, user=TEXTS, id=TEXTS)
def test_a_message_says_which_lease_and_nothing_is_lost(tenant: str, user: str, id: str) -> None:
    assert parse(encode(Owner(tenant, user), id).encode()) == (Owner(tenant, user), id)


def test_a_message_written_by_hand_is_read() -> None:
    assert parse(b'{"lease":"database" , "owner":"default/al%20ice"}\n') == (Owner("default", "al ice"), "database")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"default/alice"', b"{", b"{}", b"\xff\xfe", "{}".encode("utf-16"),
        b'{"owner": "default/alice"}',
        b'{"lease": "database"}',
        b'{"owner": "default/alice", "lease": ""}',
        b'{"owner": "default/alice", "lease": 1}',
        b'{"owner": ["default", "alice"], "lease": "database"}',
        b'{"owner": "default/alice", "lease": "database", "version": 2}',
        b'{"owner": "default", "lease": "database"}',
        b'{"owner": "default/", "lease": "database"}',
        b'{"owner": "/alice", "lease": "database"}',
        b'{"owner": "Default/alice", "lease": "database"}',
        b'{"owner": "default/al ice", "lease": "database"}',
        b'{"owner": "default/al/ice", "lease": "database"}',
        b'{"owner": "default/%FF", "lease": "database"}',
        b'{"owner": "default/alice", "lease": "\\ud800"}',
        b'{"owner": "default/\\ud800", "lease": "database"}',
        b'{"tenant": "default", "user": "alice", "id": "database"}',
        b"[" * 50_000,
    ],
)  # fmt: skip
def test_what_names_no_lease_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse(body)


def test_a_message_carries_its_trace_where_it_has_one_and_names_the_same_lease() -> None:
    bare, full = encode(ALICE, "database"), encode(ALICE, "database", TRACEPARENT, 1234.5)
    assert carried(bare.encode()) == ("", None) and "traceparent" not in bare
    assert carried(full.encode()) == (TRACEPARENT, 1234.5)
    assert parse(bare.encode()) == parse(full.encode()) == (ALICE, "database")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b"[" * 50_000, b"[]",
        b'{"traceparent": 1, "posted_at": 1}',
        b'{"traceparent": "00", "posted_at": "now"}',
        b'{"traceparent": "00", "posted_at": NaN}',
        b'{"traceparent": "00", "posted_at": 1e999}',
        b'{"traceparent": "00"}',
    ],
)  # fmt: skip
def test_what_carries_nothing_that_can_be_read_carries_nothing(body: bytes) -> None:
    assert carried(body) == ("", None)
