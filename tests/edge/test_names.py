"""The schemas of what requests name say what is let through, and nothing else."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from shared.domain.errors import InvalidRequest
from shared.domain.identity import check_name
from shared.edge import names, tokens
from shared.edge.leases import Steered, Wished
from shared.edge.signing_requests import PublicKey

LIKELY = st.text("aZ9-._~!$'()*,:@/?= é\n%+#", max_size=8) | st.integers(120, 140).map("a".__mul__)


def fits(model: Any, value: Any, alias: str = "") -> bool:
    schema = TypeAdapter(model).json_schema()
    schema = schema["properties"][alias] if alias else schema
    return Draft202012Validator(schema, validate_formats=True).is_valid(value)


def is_name(text: str) -> bool:
    try:
        check_name(text)
    except InvalidRequest:
        return False
    return True


@given(LIKELY)
def test_a_name_fits_if_the_domain_takes_it(text: str):
    assert fits(names.UserId, text) == fits(names.LeaseId, text) == is_name(text)
    assert fits(names.UserIdIfAny, text) == (not text or is_name(text))


@given(st.text('W/"*3, \ta', max_size=10) | st.from_regex(r'\A(W/)?"[0-9]{1,3}"(, ?"[a-z]?")*\Z'))
def test_an_if_match_fits_if_it_is_taken(text: str):
    try:
        Steered.model_validate({"id": "x", "If-Match": text})
        taken = True
    except ValidationError:
        taken = False
    assert fits(Steered, text, "If-Match") == taken


@given(st.text(max_size=5) | st.sampled_from(["\x85", "\u2028", "\u2029", "\x1f", "é", "x" * 200, "x" * 201]))
def test_a_note_fits_if_it_is_taken(text: str):
    try:
        Wished.model_validate({"until": None, "note": text})
        taken = True
    except ValidationError:
        taken = False
    assert fits(Wished, text, "note") == taken


@pytest.mark.parametrize(
    ("until", "taken"),
    [
        ("2027-01-15T18:00:00+01:00", True), ("2027-01-15T18:00:00Z", True), (1_800_000_000, True), (1.5, True),
        (None, True), ("2027-01-15T18:00:00", False), ("tomorrow", False), (True, False), ([], False), ("", False),
    ],
)  # fmt: skip
def test_an_instant_fits_if_it_is_taken(until: Any, taken: bool):
    try:
        Wished.model_validate({"until": until})
        found = True
    except ValidationError:
        found = False
    assert (found, fits(Wished, until, "until")) == (taken, taken)


@given(st.text(max_size=40))
def test_a_token_of_ours_fits(place: str):
    assert fits(tokens.Place, tokens.encode(place))
    assert re.search(TypeAdapter(tokens.Place).json_schema()["pattern"], tokens.encode(place) + "!") is None


def test_only_a_signing_request_fits():
    assert fits(PublicKey, "-----BEGIN CERTIFICATE REQUEST-----\nMII\n-----END CERTIFICATE REQUEST-----\n")
    assert not fits(PublicKey, "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n")
    assert not fits(PublicKey, 1)
