"""What is asked about leases, and how they are told."""

from dataclasses import replace
from math import isfinite
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest
from shared.domain.leases import Archive, Kind, State
from shared.domain.policy import DAY, Policy
from shared.edge.leases import LeaseAnswer, Listing, Steered, Wished
from shared.edge.web import parse_body
from tests.samples import T0, a_lease

SECRET = {"credentials": "k1.hunter2", "address": "hunter2:3306", "volume": "hunter2", "etag": "hunter2"}


def literals(name: str) -> set[str]:
    return {value for option in get_args(Listing.model_fields[name].annotation) for value in get_args(option)}


def test_a_list_may_be_of_every_kind_and_state_that_is_on_one():
    assert literals("kind") == set(Kind)
    assert literals("state") == set(State) - {State.RELEASED}


@pytest.mark.parametrize("state", State)
def test_no_secret_and_no_address_is_told_of_any_lease(state: State):
    told = LeaseAnswer.of(a_lease(state, **SECRET), Policy(), T0)
    assert "hunter2" not in told.model_dump_json()


def test_what_is_archived_is_told_until_when_and_its_key_is_not():
    archive = Archive("x-3", "hunter2", T0)
    under_way = LeaseAnswer.of(a_lease(State.ARCHIVING, archive=archive), Policy(), T0)
    assert under_way.archived_until is None
    stored = a_lease(State.RELEASED, archive=replace(archive, sha256="ab", size=7, until=T0 + DAY))
    told = LeaseAnswer.of(stored, Policy(), T0)
    assert told.archived_until is not None and told.archived_until.timestamp() == T0 + DAY
    assert "hunter2" not in told.model_dump_json() + repr(stored)


def test_an_instant_that_no_calendar_has_is_left_out():
    told = LeaseAnswer.of(a_lease(since=1e300, beat_at=float("nan")), Policy(), T0)
    assert told.since is None and told.last_beat_at is None and told.expires_at is None


def test_an_instant_is_told_to_the_second_in_utc():
    told = LeaseAnswer.of(a_lease(since=T0 + 0.999, held_until=T0 + 86400.999), Policy(), T0)
    assert '"since":"2027-01-15T08:00:00Z"' in told.model_dump_json()
    assert '"hold":{"until":"2027-01-16T08:00:00Z","note":""}' in told.model_dump_json()


@given(st.text(max_size=60))
def test_any_if_match_names_revisions_or_is_refused(text: str):
    try:
        revisions = Steered.model_validate({"id": "x", "If-Match": text}).revisions
    except ValueError as error:
        assert 'write *, or ETags in quotes, such as "3"' in str(error)
    else:
        assert revisions is None or all(revision >= 0 for revision in revisions)


@given(st.binary(max_size=100) | st.text(max_size=60).map(lambda text: b'{"until": "%s"}' % text.encode()))
def test_any_bytes_are_a_wish_or_an_invalid_request(body: bytes):
    try:
        wished = parse_body(Wished, body)
    except InvalidRequest as error:
        assert error.detail
    else:
        assert wished.until is None or isfinite(wished.until)
