import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest, NotAuthenticated, NotFound
from shared.domain.identity import Principal, Role, check_name, check_tenant
from shared.domain.leases import Owner
from tests.certs import BAD_URIS, TRUST_DOMAIN

ALLOWED = string.ascii_letters + string.digits + "-._~!$'()*,:@/?="
names = st.text(ALLOWED, min_size=1, max_size=128).filter(lambda name: name not in (".", ".."))
tenants = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


def test_a_user_acts_for_itself_alone() -> None:
    alice = Principal("acme", Role.USER, "alice")
    assert alice.acting_for("alice") == Owner("acme", "alice")
    for other in ("bob", "Alice", "alice/", "a", "alice@acme"):
        with pytest.raises(NotFound):
            alice.acting_for(other)


@pytest.mark.parametrize("role", [Role.FRONTEND, Role.ADMIN])
def test_a_frontend_and_an_admin_act_for_any_user_of_their_own_tenant(role: Role) -> None:
    assert Principal("acme", role, "hub").acting_for("bob") == Owner("acme", "bob")
    assert Principal("other", role, "hub").acting_for("bob") == Owner("other", "bob")


def test_a_worker_acts_for_nobody_not_even_for_a_user_of_its_name() -> None:
    with pytest.raises(NotFound):
        Principal("acme", Role.WORKER, "w1").acting_for("w1")


@pytest.mark.parametrize("role", Role)
def test_nobody_acts_for_a_user_id_that_a_query_does_not_carry(role: Role) -> None:
    with pytest.raises(InvalidRequest):
        Principal("acme", role, "a b").acting_for("a b")


def test_a_user_id_may_hold_exactly_what_the_plugin_s_query_carries_unchanged() -> None:
    for number in range(0x180):
        if chr(number) in ALLOWED:
            check_name(chr(number))
        else:
            with pytest.raises(InvalidRequest):
                check_name(chr(number))


@pytest.mark.parametrize(
    ("user_id", "complaint"),
    [
        ("a b", "' ' at position 2"),
        ("a\n", "'\\n' at position 2"),
        ("a&b=1", "'&'"),
        ("\ud800", "'\\ud800'"),
        ("\u20ac", "'\\u20ac'"),
        ("", "has 0 characters"),
        ("a" * 129, "has 129 characters"),
    ],
)
def test_a_refused_user_id_is_told_why_in_printable_ascii(user_id: str, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name(user_id)
    assert complaint in caught.value.detail
    assert caught.value.detail.isascii() and caught.value.detail.isprintable()


def test_a_user_id_may_have_128_characters() -> None:
    check_name("a" * 128)


@pytest.mark.parametrize("tenant", ["a", "0", "a-b", "a" * 63])
def test_a_tenant_is_a_dns_label(tenant: str) -> None:
    check_tenant(tenant)


@pytest.mark.parametrize("tenant", ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "a\n", "a/b", "é", "%61"])
def test_what_is_no_dns_label_is_no_tenant(tenant: str) -> None:
    with pytest.raises(InvalidRequest):
        check_tenant(tenant)


def test_the_uri_is_the_one_in_the_documents() -> None:
    alice = Principal("acme", Role.USER, "alice@example.com")
    assert alice.uri("playground.local") == "spiffe://playground.local/tenant/acme/user/alice%40example.com"


@settings(deadline=None)
@given(tenant=tenants, role=st.sampled_from(Role), name=names)
def test_every_principal_comes_back_from_its_uri(tenant: str, role: Role, name: str) -> None:
    principal = Principal(tenant, role, name, serial="ab", digest="cd")
    assert Principal.from_uri(principal.uri(TRUST_DOMAIN), TRUST_DOMAIN, "ab", "cd") == principal


@settings(deadline=None)
@given(one=names, other=names)
def test_no_two_names_share_a_uri(one: str, other: str) -> None:
    uris = {Principal("acme", Role.USER, name).uri(TRUST_DOMAIN) for name in (one, other)}
    assert len(uris) == len({one, other})


@pytest.mark.parametrize("name", [".", "..", "", "a b", "é", "a" * 129, "a%62"])
def test_a_name_that_no_uri_can_carry_is_refused_when_it_is_given(name: str) -> None:
    with pytest.raises(InvalidRequest):
        Principal("acme", Role.USER, name).uri(TRUST_DOMAIN)


@pytest.mark.parametrize("domain", ["", "A.example", "a/b", "a:1", "a@b", "a" * 256, "a\n"])
def test_what_is_no_trust_domain_builds_no_uri(domain: str) -> None:
    with pytest.raises(InvalidRequest):
        Principal("acme", Role.USER, "alice").uri(domain)


@pytest.mark.parametrize("kind", BAD_URIS)
def test_a_uri_that_is_not_canonical_names_nobody(kind: str) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        Principal.from_uri(BAD_URIS[kind], TRUST_DOMAIN)
    assert "alice" not in caught.value.detail


_PIECES = st.sampled_from(
    ["spiffe:", "//", "/", "playground.local", "tenant", "acme", "user", "admin", "alice", "%2F", "%2f", "%", ".", "..",
     "?", "#", "@", ":", "%00", "\n", " "]
)  # fmt: skip
_NEARLY = st.lists(_PIECES, max_size=9).map(lambda tail: "spiffe://playground.local/tenant/acme/user/" + "".join(tail))


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(_PIECES).map("".join), _NEARLY))
def test_a_text_names_the_principal_whose_uri_it_is_or_nobody(text: str) -> None:
    try:
        principal = Principal.from_uri(text, TRUST_DOMAIN)
    except NotAuthenticated:
        return
    assert principal.uri(TRUST_DOMAIN) == text
