"""The server's secret, what is derived from it, and what is sealed under it."""

import base64
import hashlib
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yiapi.secrets import Seal, SealBroken, SecretUnusable, ServerSecret, keyed_hash, load_secret

TEXT = "a-secret-of-more-than-32-characters"
PURPOSES = ("api-keys", "credentials", "asset-links", "sandbox", "session", "fingerprint")


@pytest.fixture
def seal() -> Seal:
    return Seal(ServerSecret(TEXT), "credentials")


def test_each_purpose_has_a_key_of_its_own():
    keys = {ServerSecret(TEXT).key(purpose) for purpose in PURPOSES}

    assert len(keys) == len(PURPOSES)
    assert {len(key) for key in keys} == {32}


def test_another_start_derives_the_same_keys():
    assert ServerSecret(TEXT).key("api-keys") == ServerSecret(TEXT).key("api-keys")


def test_another_secret_derives_other_keys_and_another_fingerprint():
    assert ServerSecret(TEXT).key("api-keys") != ServerSecret(TEXT[::-1]).key("api-keys")
    assert ServerSecret(TEXT).fingerprint() != ServerSecret(TEXT[::-1]).fingerprint()


def test_the_fingerprint_is_no_key_of_any_purpose():
    secret = ServerSecret(TEXT)

    assert secret.fingerprint() not in {secret.key(purpose).hex() for purpose in PURPOSES}
    assert secret.fingerprint() != hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize("weak", ["", "short", "a" * 64, "abcdefg" * 5, "x" * 31])
def test_f106_a_weak_secret_is_refused(weak):
    with pytest.raises(SecretUnusable):
        ServerSecret(weak)


def test_a_first_start_makes_a_secret_that_nobody_else_reads(tmp_path):
    made = load_secret(tmp_path, None)
    file = tmp_path / "secret"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ServerSecret(file.read_text()).fingerprint() == made.fingerprint()


def test_the_next_start_reads_what_the_first_one_made(tmp_path):
    first = load_secret(tmp_path, None)

    assert load_secret(tmp_path, None).fingerprint() == first.fingerprint()


def test_two_stations_make_two_secrets(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()

    assert len({load_secret(folder, None).fingerprint() for folder in folders}) == 2


def test_a_given_secret_is_used_and_nothing_is_written(tmp_path):
    assert load_secret(tmp_path, TEXT).fingerprint() == ServerSecret(TEXT).fingerprint()
    assert list(tmp_path.iterdir()) == []


def test_f106_a_weak_secret_in_the_folder_is_refused(tmp_path):
    (tmp_path / "secret").write_text("changeme\n")

    with pytest.raises(SecretUnusable):
        load_secret(tmp_path, None)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens_for_its_row(text):
    seal = Seal(ServerSecret(TEXT), "credentials")

    assert seal.open(seal.seal(text, "cred_1"), "cred_1") == text


def test_the_same_text_is_never_sealed_alike(seal):
    assert len({seal.seal("key", "cred_1") for _ in range(100)}) == 100


def test_a_sealed_text_shows_nothing_and_names_its_key(seal):
    sealed = seal.seal("sk-vendor-0123456789", "cred_1")

    assert sealed.startswith("k1:")
    assert b"sk-vendor" not in base64.b64decode(sealed.removeprefix("k1:"))


def test_a_sealed_text_does_not_open_for_another_row(seal):
    with pytest.raises(SealBroken):
        seal.open(seal.seal("key", "cred_1"), "cred_2")


def test_a_sealed_text_does_not_open_under_another_purpose_or_secret(seal):
    sealed = seal.seal("key", "cred_1")

    for other in (Seal(ServerSecret(TEXT), "session"), Seal(ServerSecret(TEXT[::-1]), "credentials")):
        with pytest.raises(SealBroken):
            other.open(sealed, "cred_1")


def test_no_byte_of_a_sealed_text_can_be_changed(seal):
    key_id, _, body = seal.seal("key", "cred_1").partition(":")
    raw = base64.b64decode(body)

    for index in range(len(raw)):
        changed = raw[:index] + bytes([raw[index] ^ 1]) + raw[index + 1 :]
        with pytest.raises(SealBroken):
            seal.open(f"{key_id}:{base64.b64encode(changed).decode()}", "cred_1")


@pytest.mark.parametrize(
    "broken", ["", "k1", "k1:", "k1:AAAA", "k1:%%%", "k1:A", "k2:AAAA", "sk-vendor-in-plain", "k1:é"]
)
def test_what_was_never_sealed_is_refused(seal, broken):
    with pytest.raises(SealBroken):
        seal.open(broken, "cred_1")


def test_a_keyed_hash_depends_on_key_and_on_the_whole_text():
    assert keyed_hash(b"a" * 32, "text") == keyed_hash(b"a" * 32, "text")
    assert keyed_hash(b"a" * 32, "text") != keyed_hash(b"b" * 32, "text")
    assert keyed_hash(b"a" * 32, "text") != keyed_hash(b"a" * 32, "texT")
    assert len(keyed_hash(b"a" * 32, "\ud800")) == 64  # F020: lone surrogates too
