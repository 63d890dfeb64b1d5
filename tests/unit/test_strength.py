"""The check of secrets: what somebody could guess is refused, what a generator made never is."""

import hashlib
import os
import random
import secrets
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.keys import words
from sharedsession.keys.machine_key import MachineKey
from sharedsession.keys.strength import MIN_BITS, estimated_bits, problem_with

# Printed in the documentation or sample configuration of frameworks and tools.
PUBLISHED = [
    "CB2721ABDAF8E9DC516D621D8B8BF13A2C9E8689A25303BF",
    "ABAA84D7EC4BB56D75D217CECFFB9628809BDB8BF91CFCD64568A145BE59719F",
    "61oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",
    "11oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",
    "43oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7",
    "  09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7\n",
    "5791628bb0b13ce0c676dfde280ba245",
    "Thirty  two  length  bytes  key.",
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
]
PLACEHOLDERS = [
    "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",
    "YOUR_OWN_RANDOM_GENERATED_SECRET_KEY",
    "!!!SET DJANGO_SECRET_KEY!!! before deployment",
    "changemechangemechangemechangeme",
    "change-me-in-production-please-please",
    "ChangeThisToSomethingLongAndRandom123",
    "please-change-this-secret-key-before-production",
    "your-256-bit-secret-your-256-bit-secret",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
    "super-secret-key-super-secret-key-1234",
    "replace-me-with-a-long-random-string-please",
    "this_is_a_very_long_secret_key_for_my_app",
    "my-development-secret-key-do-not-use-2024",
    "keyboard cat keyboard cat keyboard cat",
    "insecure-default-secret-key-for-testing",
    "${SECRET_KEY:-change-this-to-a-real-secret}",
    "<generate with sharedsession genkey, 48 bytes>",
]
REPEATS = [
    "a" * 54,
    "0" * 68,
    "ab" * 22,
    "0123456789abcdef" * 4,
    "1234567890" * 5,
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "deadbeef" * 6,
    "cafebabedeadbeef" * 2,
    "password" * 4,
    "P@ssw0rd!" * 4,
    "letmein" * 5,
    "2024-01-01T00:00:00Z2024-01-01T00:00:00Z",
    "\x00" * 48,
]
KEYBOARD_WALKS = [
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "qazwsxedcrfvtgbyhnujmikolp1234567890",
    "zaqxswcdevfrbgtnhymjukilop0987654321",
    "qwertyuiopasdfghjklzxcvbnmqwertyuiopasdfghjklzxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p1q2w3e4r5t6y7u8i9o0p",
    "asdfghjkl;'asdfghjkl;'asdfghjkl;'",
    "zxcvbnm,./asdfghjkl;'qwertyuiop[]",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "!QAZ@WSX#EDC$RFV%TGB^YHN&UJM*IK<(OL>)P:?",
]
SENTENCES = [
    "the quick brown fox jumps over the lazy dog",
    "correct horse battery staple correct horse battery staple",
    "to be or not to be that is the question whether tis nobler",
    "It was the best of times, it was the worst of times.",
    "We hold these truths to be self-evident, that all men",
    "MyCompanyNameSessionsForTheWebFarmInProduction",
    "we-need-a-secret-for-the-session-farm-here",
    "lorem ipsum dolor sit amet consectetur adipiscing elit",
]
UUIDS = [
    "550e8400-e29b-41d4-a716-446655440000",
    "{550E8400-E29B-41D4-A716-446655440000}",
    "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
    "550e8400e29b41d4a716446655440000",
    "D9428888122B11E1B85C61CD3CBB3210",
    "d9428888122b11e1b85c61cd3cbb3210" * 2,
    "0190163d8694739b9a5c2b4c1e3f8a77",
]
# What somebody makes of a word to get something that looks random: name -> how.
DISGUISES = {
    "hex": bytes.hex,
    "base64": lambda raw: b64encode(raw).decode(),
    "base64url": lambda raw: urlsafe_b64encode(raw).decode().rstrip("="),
    "HEX": lambda raw: raw.hex().upper(),
    "hex twice": lambda raw: raw.hex() * 2,
    "hex with colons": lambda raw: raw.hex(":"),
    "base64 of hex": lambda raw: b64encode(raw.hex().encode()).decode(),
    "base64 with a prefix": lambda raw: f"base64:{b64encode(raw).decode()}",
}
HASHES = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]
WORDS = [
    "",
    "a",
    "secret",
    "password",
    "Password123",
    "changeme",
    "SECRET",
    "dragon",
    "my-secret-key",
    "flask",
    "123456",
]
# What the usual commands make of random bytes: how many, and how they are written.
GENERATORS = {
    "token_urlsafe(24)": (24, lambda raw: urlsafe_b64encode(raw).rstrip(b"=")),
    "token_urlsafe(32)": (32, lambda raw: urlsafe_b64encode(raw).rstrip(b"=")),
    "token_urlsafe(48), genkey": (48, lambda raw: urlsafe_b64encode(raw).rstrip(b"=")),
    "openssl rand -base64 32": (32, b64encode),
    "token_hex(32)": (32, lambda raw: raw.hex().encode()),
    "urandom(32)": (32, bytes),
    "openssl rand -hex 24": (24, lambda raw: raw.hex().encode()),
    "openssl rand -hex 64": (64, lambda raw: raw.hex().encode()),
}
# Made by these commands, and at one time refused: a repeat, or letters that read like text, by chance.
UNLUCKY = [
    "AXQiTOMEDXk8NtzAV0Plb1eVbIr2CHdTYEaMORM8cqI",
    "lUIM3rraT3_ONQYrngVed4-AV-nvhFFhWi0blUrfOcM",
    "dth6EAnhO5NgJDSA6Tg--PAeNgre7Urn0ji3meNGcn3W9RMWKe9CCIWUnhhCotCt",
    "J_sgXaw7GndLjalTSpSFmEW3Z3vqWTHiPmMaSROcOwOofYWeaUDEL-BbZ6PDxqHI",
    "30922db741c0dddddd77299cd1f2b782",
    "c3fedcd5c50aaaa2f1ca1a7f01ecdbcc",
]


@pytest.mark.parametrize("secret", PUBLISHED)
def test_published_samples_are_refused(secret):
    """A key that is printed somewhere is everybody's, however random it looks."""
    assert problem_with(secret.encode()) == "is a sample key that is printed in public documentation"


@pytest.mark.parametrize("secret", PLACEHOLDERS + REPEATS + KEYBOARD_WALKS + SENTENCES)
def test_what_can_be_guessed_is_refused(secret):
    """Placeholders, repeats, keyboard walks and sentences are long, and guessed all the same."""
    assert problem_with(secret.encode())


def test_the_lists_hold_enough():
    """The three dozen examples are there, each once."""
    weak = PUBLISHED + PLACEHOLDERS + REPEATS + KEYBOARD_WALKS + SENTENCES + UUIDS
    assert len(set(weak)) == len(weak) > 50
    assert all(len(secret) >= 32 for secret in weak)


@pytest.mark.parametrize("secret", UUIDS)
def test_uuids_are_refused(secret):
    """A UUID looks random and is not random enough, and its makers promise nothing."""
    assert "UUID" in problem_with(secret.encode())


def test_the_start_key_of_a_new_django_project_is_refused():
    """Django says itself that it is insecure, whatever follows the prefix."""
    assert "Django" in problem_with(b"django-insecure-" + secrets.token_urlsafe(48).encode())


@pytest.mark.parametrize("length", [0, 1, 16, 31])
def test_short_secrets_are_refused(length):
    """Below 32 bytes nothing passes, and the message says how many there are."""
    assert f"{length} bytes, at least 32" in problem_with(os.urandom(length))


@pytest.mark.parametrize(("size", "write"), GENERATORS.values(), ids=GENERATORS)
def test_generated_secrets_are_accepted(size, write):
    """Not one of 20,000 random secrets is refused; always the same ones, so that the test is no lottery."""
    source = random.Random(size)
    made = (write(source.randbytes(size)) for _ in range(20_000))
    assert [secret for secret in made if problem_with(secret)] == []


def test_sixteen_random_bytes_are_refused_only_if_they_have_the_form_of_a_uuid():
    """A UUID without dashes is 32 hexadecimal digits, of which one in 21 has its form: 24 bytes or more always pass."""
    source = random.Random(16)
    problems = [problem_with(source.randbytes(16).hex().encode()) for _ in range(5_000)]
    refused = [problem for problem in problems if problem]
    assert all("UUID" in problem for problem in refused)
    assert 0 < len(refused) < 5_000 / 16


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
@pytest.mark.parametrize("name", HASHES)
def test_the_hash_of_a_word_is_refused(name, disguise):
    """It looks random, and is the first thing that is tried."""
    for word in WORDS:
        for written in (word, f"{word}\n"):
            assert problem_with(disguise(hashlib.new(name, written.encode()).digest()).encode()), (name, written)


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
@pytest.mark.parametrize(
    "weak", [*SENTENCES, *REPEATS, *KEYBOARD_WALKS, *PLACEHOLDERS, "changeme" * 2, "supersecretword"]
)
def test_the_encoding_of_a_weak_secret_is_refused(weak, disguise):
    """Hexadecimal digits and Base64 hide nothing."""
    assert problem_with(disguise(weak.encode()).encode())


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_the_encoding_of_a_strong_secret_is_accepted(disguise):
    """Whoever encodes what a generator made loses nothing."""
    for _ in range(50):
        assert problem_with(disguise(secrets.token_urlsafe(32).encode()).encode()) is None


def test_the_secrets_of_our_own_tests_are_refused():
    """They stand in a public repository."""
    for ours in (
        "9oX3-Jm2Tq7vWcRk0bNz5yHs8uLfEa1dPgViYh4MtQwZrCxK6jBn",
        "kT7-Wq2Lm9vXcRk0bNz5yHs8uLfEa1dPgViYh4MtQwZrCxK6jBn",
    ):
        assert "public" in problem_with(ours.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_in_utf_16_is_refused(encoding):
    """Some shells write it; it would be another secret than the same text in UTF-8."""
    assert "UTF-8" in problem_with(secrets.token_urlsafe(48).encode(encoding))


def test_the_list_of_words_is_short():
    """It is an aid, no dictionary: a few kilobytes."""
    assert Path(words.__file__).stat().st_size < 10_000


@pytest.mark.parametrize("secret", UNLUCKY)
def test_unlucky_secrets_are_accepted(secret):
    """A generated secret that happens to look a little like text or to repeat itself is as good as any."""
    assert problem_with(secret.encode()) is None


def test_genkey_makes_what_the_check_accepts():
    """The mend that every message names does mend."""
    assert problem_with(MachineKey.generate().encode()) is None


def test_a_random_secret_may_hold_a_word():
    """A word that turns up in a random secret by chance is no reason to refuse it."""
    assert problem_with(secrets.token_urlsafe(24).encode() + b"secret" + secrets.token_urlsafe(24).encode()) is None


@pytest.mark.parametrize("secret", PUBLISHED + PLACEHOLDERS + REPEATS + KEYBOARD_WALKS[:5] + SENTENCES + UUIDS)
def test_the_problem_never_quotes_the_secret(secret):
    """A message about a secret may end up in a log, so no eight characters of the secret are in it."""
    problem = problem_with(secret.encode())
    pieces = {secret[i : i + 8].lower() for i in range(len(secret) - 7)}
    # What the messages are made of may of course be a word of a weak secret too.
    ours = {piece for piece in pieces if piece in "placeholder documentation insecure sample key random "}
    assert not [piece for piece in pieces - ours if piece in problem.lower()]


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(secret):
    """Whatever a secret consists of, the answer is a sentence or nothing, and short ones never pass."""
    problem = problem_with(secret)
    assert problem or (len(secret) >= 32 and estimated_bits(secret.strip()) >= MIN_BITS)


@given(st.text(alphabet="abc123", min_size=1, max_size=20), st.integers(2, 20))
def test_repeating_a_text_adds_next_to_nothing(text, times):
    """The estimate counts what is new, so the same again is worth one character."""
    once, often = estimated_bits(text.encode()), estimated_bits((text * times).encode())
    assert often <= once + 16
