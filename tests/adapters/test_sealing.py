"""Credentials at rest: only the keys at hand and the very life they were sealed for open them."""

import base64
import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.sealing import NONCE, KeyRing, create_key_file, new_key
from shared.domain import credentials
from shared.domain.errors import SealBroken
from shared.domain.leases import Owner
from tests.samples import ALICE, a_lease

OLD, NEW = new_key(), new_key()
RING = KeyRing.parse(OLD)
text = st.text(alphabet=st.characters(codec="utf-8"), max_size=200)


def name(key: str) -> str:
    return key.partition(":")[0]


@given(text, text)
def test_what_is_sealed_is_opened_in_its_context_alone(secret: str, context: str):
    sealed = RING.seal(secret, context)
    assert RING.open(sealed, context) == secret
    with pytest.raises(SealBroken):
        RING.open(sealed, context + "x")


def test_sealed_text_names_its_key_and_shows_nothing_else():
    sealed = RING.seal("hunter2", "context")
    assert sealed.isascii() and sealed.startswith(f"{name(OLD)}.")
    assert "hunter2" not in sealed and "context" not in sealed
    assert b"hunter2" not in base64.b64decode(sealed.partition(".")[2])


def test_no_two_sealings_are_alike():
    sealings = {RING.seal("hunter2", "context") for _ in range(100)}
    nonces = {base64.b64decode(sealed.partition(".")[2])[:NONCE] for sealed in sealings}
    assert len(sealings) == len(nonces) == 100


def test_keys_are_turned_over_by_putting_the_new_one_first():
    sealed = RING.seal("hunter2", "context")
    both = KeyRing.parse(f"{NEW},{OLD}")
    assert both.open(sealed, "context") == "hunter2"
    again = both.seal("hunter2", "context")
    assert again.startswith(f"{name(NEW)}.")
    only_new = KeyRing.parse(NEW)
    assert only_new.open(again, "context") == "hunter2"
    with pytest.raises(SealBroken, match=f"'{name(OLD)}', which is not in PLAYGROUND_SEAL_KEYS"):
        only_new.open(sealed, "context")


def test_what_another_than_the_first_key_sealed_is_stale():
    sealed = RING.seal("hunter2", "context")
    both = KeyRing.parse(f"{NEW},{OLD}")
    assert [ring.stale(sealed) for ring in (RING, KeyRing.parse(f"{OLD},{NEW}"), both)] == [False, False, True]
    assert not both.stale(both.seal("hunter2", "context"))
    assert KeyRing.parse(NEW).stale(sealed), "also where nobody can open it any more"


def test_an_old_key_can_be_dropped_once_what_it_sealed_was_found():
    sealed = RING.seal("hunter2", "context")
    both, only_new = KeyRing.parse(f"{NEW},{OLD}"), KeyRing.parse(NEW)
    found = both.seal(both.open(sealed, "context"), "context") if both.stale(sealed) else sealed
    assert only_new.open(found, "context") == "hunter2"
    assert not only_new.stale(found)


def test_another_key_of_the_same_name_opens_nothing():
    other = f"{name(OLD)}:{NEW.partition(':')[2]}"
    with pytest.raises(SealBroken, match="not what was sealed"):
        KeyRing.parse(other).open(RING.seal("hunter2", "context"), "context")


def test_every_tampered_bit_is_noticed():
    key, _, encoded = RING.seal("hunter2", "context").partition(".")
    data = base64.b64decode(encoded)
    for position in range(len(data)):
        bent = bytearray(data)
        bent[position] ^= 1
        with pytest.raises(SealBroken):
            RING.open(f"{key}.{base64.b64encode(bytes(bent)).decode()}", "context")


@pytest.mark.parametrize("encoded", ["", "A", "AAAA", "====", "not base64!", "AAAA\n", "é", "A" * 16, "A" * 400])
def test_what_was_never_sealed_is_refused(encoded: str):
    with pytest.raises(SealBroken):
        RING.open(f"{name(OLD)}.{encoded}", "context")


@pytest.mark.parametrize("sealed", ["", ".", "hunter2", "hunter2.AAAA", f".{'A' * 60}"])
def test_what_names_no_key_is_refused(sealed: str):
    with pytest.raises(SealBroken):
        RING.open(sealed, "context")


@given(st.text(max_size=120))
def test_no_text_opens_by_chance(sealed: str):
    with pytest.raises(SealBroken):
        RING.open(sealed, "context")


@pytest.mark.parametrize(
    "keys",
    [
        *("", " ", ",", "hunter2", ":", "hunter2:", f":{'A' * 43}=", f"k1:{'A' * 42}==", f"k1:{'A' * 44}"),
        *(f"k 1:{'A' * 43}=", f"k-1:{'A' * 43}=", f"k.1:{'A' * 43}=", f"k1:{'A' * 43}", f"k1:{'-' * 43}="),
        *(f"{OLD},{OLD}", f"{OLD} hunter2", f"{OLD},k1:hunter2", "k1:é"),
    ],
    ids=range(18),  # a key is another one in every process
)
def test_malformed_keys_are_refused_and_never_repeated(keys: str):
    with pytest.raises(ValueError, match=r"^(key [123] is not|there is no key|string argument)") as refused:
        KeyRing.parse(keys)
    told = str(refused.value) + repr(refused.value.__cause__)
    for entry in keys.replace(",", " ").split():
        for part in entry.split(":"):
            assert len(part) < 3 or part not in told


@pytest.mark.parametrize("between", [",", "\n", " ", ",\n", "\r\n"])
def test_keys_are_separated_by_commas_or_lines(between: str):
    ring = KeyRing.parse(between.join((NEW, OLD)) + "\n")
    assert ring.open(RING.seal("hunter2", "context"), "context") == "hunter2"


def test_a_key_ring_shows_no_key():
    assert NEW.partition(":")[2] not in repr(KeyRing.parse(NEW)) + str(vars(KeyRing.parse(NEW)))


def test_a_new_key_is_256_bits_with_a_name_of_its_own():
    keys = [new_key() for _ in range(50)]
    assert len({name(key) for key in keys}) == len({key.partition(":")[2] for key in keys}) == 50
    assert all(len(base64.b64decode(key.partition(":")[2])) == 32 for key in keys)


def test_a_key_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path):
    path = tmp_path / "seal_keys"
    create_key_file(str(path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    before = path.read_bytes()
    KeyRing.parse(before.decode())
    with pytest.raises(FileExistsError):
        create_key_file(str(path))
    assert path.read_bytes() == before


# --- the credentials that are sealed


def test_passwords_are_alphanumeric_and_new_for_every_life():
    made = [credentials.new_credentials() for _ in range(20)]
    passwords = [password for each in made for password in (each.password, each.root_password)]
    assert len(set(passwords)) == 40
    assert all(re.fullmatch("[A-Za-z0-9]{32}", password) for password in passwords)
    assert not any(password in repr(each) for each in made for password in passwords)


def test_the_credentials_of_one_life_open_for_no_other():
    made = credentials.new_credentials()
    lease = a_lease()
    sealed = credentials.seal(RING, ALICE, lease.generation, made)
    assert credentials.unseal(RING, a_lease(credentials=sealed)) == made
    others = [
        a_lease(credentials=sealed, generation="b" * 20),
        a_lease(credentials=sealed, owner=Owner("elsewhere", "alice")),
    ]
    for other in others:
        with pytest.raises(SealBroken):
            credentials.unseal(RING, other)
    assert credentials.life(RING, a_lease(credentials=sealed)).password == made.password
    assert made.password not in repr(credentials.life(RING, a_lease(credentials=sealed)))
