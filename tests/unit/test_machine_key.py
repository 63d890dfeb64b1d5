"""The machine key: tokens that only a holder of a secret can make, rotation, and names that lead nowhere."""

import base64
import os
import pickle
import re
import secrets

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sharedsession.errors import ConfigurationError
from sharedsession.keys.identity import Identity
from sharedsession.keys.machine_key import TOKEN_BYTES, MachineKey, has_idle_timeout

A, B = MachineKey.generate(), MachineKey.generate()
KEY = MachineKey(A)


def new(key: MachineKey, idle_timeout: float | None = None) -> Identity:
    """A new session under these secrets."""
    return key.new_identity(os.urandom(16), idle_timeout)


def new_token(key: MachineKey) -> bytes:
    """The token of a new session."""
    return new(key).token.encode()


TOKEN = new_token(KEY)


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes but for one bit."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_token_leads_back_to_its_session_id():
    """What one node signed, every node with the secret verifies; the same names are made from it."""
    made = new(KEY)
    found = MachineKey(A).verify(made.token.encode())
    assert found is not None
    assert (found.name, found.store_key, found.handle) == (made.name, made.store_key, made.handle)
    assert (found.token, found.context) == (made.token, made.context)


@pytest.mark.parametrize("idle", [None, 300, 1e9])
def test_an_id_leads_to_its_session_for_who_has_kept_it(idle):
    """Without a signature: the same names, and the token can be made again; a node without the secret finds nothing."""
    made = new(KEY, idle)
    found = MachineKey([B, A]).identity_of(made.name)
    assert found is not None
    assert (found.name, found.store_key, found.token) == (made.name, made.store_key, made.token)
    assert found.idle_timeout == made.idle_timeout
    assert MachineKey(B).identity_of(made.name) is None
    assert KEY.verify(made.name.encode()) is None


@given(st.integers(0, 39), st.characters())
def test_what_is_no_id_leads_nowhere(place, character):
    """Any character at any place: an identity whose parts can be read, or none; never an error."""
    name = new(KEY, 300).name
    changed = name[:place] + character + name[place + 1 :]
    found = KEY.identity_of(changed)
    assert found is None or (found.name == changed and found.idle_timeout != 0)
    assert KEY.identity_of(name[:-1]) is KEY.identity_of(name + "A") is KEY.identity_of("") is None
    assert all(KEY.identity_of(name[:38] + idle) is None for idle in ("4A", "__", "--", "IA", "==", "é.", "\ud800A"))


def test_session_ids_never_repeat():
    """An ID holds 128 random bits, so two are never equal."""
    ids = {new(KEY).name for _ in range(1000)}
    assert len(ids) == 1000
    assert len({base64.urlsafe_b64decode(session_id[:32])[:16] for session_id in ids}) == 1000


def test_the_token_carries_the_id_of_its_key():
    """Whoever reads a token knows which secret to check it with."""
    assert TOKEN[32:38].decode() == KEY.fingerprints()[0]
    assert MachineKey(B).fingerprints() != KEY.fingerprints()


def test_a_token_is_short_and_fit_for_a_cookie():
    """Name, value and attributes of the cookie stay far below what browsers keep."""
    token = new(KEY, idle_timeout=86400 * 400).token
    assert re.fullmatch(r"[A-Za-z0-9_.\-]+", token)
    assert len(token) == TOKEN_BYTES
    assert len(token.partition(".")[0]) == 40  # what Django keeps in a field of its own


def test_no_flipped_bit_goes_unnoticed():
    """Each single bit of a token counts, also those that Base64 would ignore."""
    assert [bit for bit in range(len(TOKEN) * 8) if KEY.verify(flipped(TOKEN, bit))] == []


def test_no_truncated_token_is_taken():
    """A token that lost its end or its beginning is no token."""
    assert not any(KEY.verify(TOKEN[:end]) or KEY.verify(TOKEN[end:]) for end in range(1, len(TOKEN)))


@pytest.mark.parametrize("extra", [b"A", b"=", b".", b" ", b"\n", b"\0", b".A", b"%", b'"'])
def test_no_extended_token_is_taken(extra):
    """A token with something before or behind it is no token."""
    assert KEY.verify(TOKEN + extra) is None
    assert KEY.verify(extra + TOKEN) is None


@pytest.mark.parametrize(
    "rewrite",
    [
        bytes.upper,
        bytes.lower,
        bytes.swapcase,
        lambda token: token.replace(b".", b"%2E"),
        lambda token: b'"' + token + b'"',
        lambda token: token + b"=" * (-len(token.split(b".")[-1]) % 4),
        base64.urlsafe_b64encode,
        lambda token: b".".join(reversed(token.split(b"."))),
    ],
)
def test_no_other_spelling_is_taken(rewrite):
    """A session has exactly one token: other case, quotes, padding, another encoding are refused."""
    assert rewrite(TOKEN) != TOKEN
    assert KEY.verify(rewrite(TOKEN)) is None


def test_no_other_encoding_of_the_signature_is_taken():
    """The last character of Base64 has spare bits; the three other spellings of the same bytes are refused."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [last for last in alphabet if KEY.verify(TOKEN[:-1] + bytes([last]))] == [TOKEN[-1]]


def test_a_signature_does_not_fit_another_id():
    """An ID under a key it does not belong to is refused."""
    other = new_token(KEY)
    assert KEY.verify(TOKEN.rpartition(b".")[0] + b"." + other.rpartition(b".")[2]) is None
    assert KEY.verify(new_token(MachineKey(B))) is None


@given(st.binary(max_size=300))
def test_garbage_is_no_session(garbage):
    """Whatever bytes arrive, the answer is "no session", never an exception."""
    assert KEY.verify(garbage) is None


@given(st.lists(st.sampled_from([*TOKEN.split(b"."), b"", b"A" * 43, b"\xff", b"0"]), max_size=6))
def test_parts_of_a_token_put_together_anew_are_no_token(parts):
    """Only the whole is signed."""
    assert (KEY.verify(b".".join(parts)) is None) == (b".".join(parts) != TOKEN)


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_a_huge_token_is_refused_before_any_cryptography(size):
    """What is longer than a token can be is no token, even under a genuine signature."""
    signed = KEY.keys.first.signer.sign(new(KEY).name + "A" * size)
    assert KEY.verify(signed) is None


def test_rotation_keeps_every_session_until_its_key_is_dropped():
    """[A] -> [A, B] -> [B, A] -> [B]: A's tokens live until the last stage, B's from the second on."""
    stages = [MachineKey([A]), MachineKey([A, B]), MachineKey([B, A]), MachineKey([B])]
    tokens = [new_token(stage) for stage in stages]
    known = [[stage.verify(token) is not None for token in tokens] for stage in stages]
    assert known == [
        [True, True, False, False],
        [True, True, True, True],
        [True, True, True, True],
        [False, False, True, True],
    ]


def test_new_ids_are_made_under_the_first_secret():
    """A key that was rotated to a later place verifies and no longer signs."""
    rotated = MachineKey([B, A])
    assert MachineKey(A).verify(new_token(rotated)) is None
    assert MachineKey(B).verify(new_token(rotated))


def test_names_do_not_change_while_keys_rotate():
    """The store key and the handle follow the ID, not the order of the secrets."""
    before, after = KEY.verify(TOKEN), MachineKey([B, A]).verify(TOKEN)
    assert before is not None
    assert after is not None
    assert (after.store_key, after.handle) == (before.store_key, before.handle)


def test_a_list_in_a_list_and_repeats_are_one_key():
    """A `MachineKey` may stand for its secrets, and the same secret twice is once."""
    assert MachineKey([KEY, A, A.encode(), B]).fingerprints() == MachineKey([A, B]).fingerprints()


def test_applications_of_other_names_share_nothing():
    """Under one secret, another ``app_name`` has other keys, tokens, names and records."""
    one, two = MachineKey(A, app_name="shop"), MachineKey(A, app_name="forum")
    mine = new(one)
    assert two.verify(mine.token.encode()) is None
    assert two.fingerprints() != one.fingerprints()
    assert two.verify(mine.token.replace(one.fingerprints()[0], two.fingerprints()[0]).encode()) is None
    theirs = two.new_identity(base64.urlsafe_b64decode(mine.name[:32])[:16])
    assert theirs.name[:21] == mine.name[:21]
    assert theirs.store_key != mine.store_key
    assert theirs.open(mine.seal(b"data", os.urandom(12))) is None


def test_store_keys_are_what_the_contract_allows():
    """A store key has at most 64 characters of ``A-Z a-z 0-9 _ - :`` and is one per session."""
    keys = {new(KEY, idle).store_key for idle in (None, 1, 1e9) for _ in range(300)}
    assert len(keys) == 900
    assert all(re.fullmatch(r"[A-Za-z0-9_\-:]{1,64}", key) for key in keys)


def test_no_name_shows_another():
    """Session ID, token, store key and handle have no part in common that would lead from one to the other."""
    identity = new(KEY)
    token, store_key, handle = identity.token, identity.store_key, identity.handle
    for public in (handle, store_key.removeprefix("ss:")):
        pieces = {public[i : i + 6] for i in range(len(public) - 5)}
        assert not [piece for piece in pieces if piece in token]
    assert handle not in store_key
    assert KEY.verify(handle.encode()) is KEY.verify(store_key.encode()) is None
    assert MachineKey(B, app_name="default").fingerprints()[0] not in token


@pytest.mark.parametrize("idle", [None, 0.5, 1.5, 2, 300, 900, 1200, 3600, 28800, 86400, 14 * 86400, 400 * 86400])
def test_the_idle_timeout_travels_in_the_id(idle):
    """A session's own idle timeout is signed with its ID; what people choose is exact."""
    found = KEY.verify(new(KEY, idle).token.encode())
    assert found is not None
    assert found.idle_timeout == idle


@given(st.floats(0.001, 400 * 86400))
@example(1.000001)
@example(0.03)
def test_an_odd_idle_timeout_is_rounded_up(idle):
    """To the next step of a fine scale: never less than asked for, and hardly more."""
    found = KEY.verify(new(KEY, idle).token.encode())
    assert found is not None
    assert found.idle_timeout is not None
    assert idle - 1e-3 <= found.idle_timeout <= max(idle * 1.13, idle + 0.02)


def test_the_sessions_of_a_principal_have_a_place_in_common_and_nothing_else():
    """Their store keys have the same part in braces, as have its stamp and its index; their IDs show none of it."""
    one, two, other = (KEY.new_identity(os.urandom(16), None, name) for name in ("ann", "ann", "bob"))
    braces = [
        re.findall(r"{(.+)}", each.store_key) for each in (one, two, one.for_lock(), *KEY.of_principal("ann", "index"))
    ]
    assert one.stamp is not None
    assert two.stamp is not None
    assert len({*map(tuple, braces), tuple(re.findall(r"{(.+)}", one.stamp.store_key))}) == 1
    assert one.stamp.store_key == two.stamp.store_key
    assert braces[0] != re.findall(r"{(.+)}", other.store_key)
    assert len({each.store_key for each in (one, two, one.stamp, one.for_lock())}) == 4
    assert new(KEY).stamp is None
    assert "{" not in new(KEY).store_key
    assert one.name[22:32] != two.name[22:32]  # where the tag is, masked


def test_a_handle_leads_to_the_store_key():
    """Also that of a principal's session; a handle that was typed wrong leads nowhere that exists."""
    for principal in (None, "ann"):
        identity = KEY.new_identity(os.urandom(16), None, principal)
        assert len(identity.handle) == 32
        assert KEY.store_keys_of(identity.handle) == [identity.store_key]
        assert KEY.store_keys_of(identity.handle[::-1]) != [identity.store_key]
        assert MachineKey([B, A]).store_keys_of(identity.handle)[1] == identity.store_key


def test_nothing_of_a_secret_is_printed():
    """The repr says how many secrets there are and nothing else."""
    shown = repr(MachineKey([A, B])) + str(MachineKey([A, B])) + f"{KEY!r:>80}"
    assert "2 secret(s)" in shown
    assert not [i for i in range(len(A) - 5) if A[i : i + 6] in shown or B[i : i + 6] in shown]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("secret", [KEY, new(KEY)], ids=["machine key", "identity"])
def test_a_secret_is_never_pickled(secret, protocol):
    """It does not travel in a task queue by mistake."""
    with pytest.raises(TypeError, match=r"^an? (MachineKey|Identity) holds .*secrets and is never pickled$"):
        pickle.dumps(secret, protocol)


def test_nothing_of_an_identity_is_printed():
    """Neither its ID nor what is made from it."""
    assert repr(new(KEY)) == "<Identity, hidden>"


def test_development_lets_a_weak_secret_pass():
    """On a machine that serves nobody "dev" is good enough, and only there."""
    assert MachineKey("dev", development=True).verify(b"x") is None
    with pytest.raises(ConfigurationError, match=r"^secret_key is too short.*genkey.*development=True.* visitors$"):
        MachineKey("dev")


@pytest.mark.parametrize("nothing", [[], "", b"", (), [A, ""], [[]]])
@pytest.mark.parametrize("development", [False, True])
def test_an_empty_secret_never_passes(nothing, development):
    """No secret at all is a mistake on every machine."""
    with pytest.raises(ConfigurationError, match=r"^secret_key is empty.*every web node$"):
        MachineKey(nothing, development=development)


def test_the_weak_one_of_several_is_named_by_its_place():
    """The message says which of the secrets to replace, and not what it is."""
    weak = "hunter2-" + secrets.token_hex(2)
    with pytest.raises(ConfigurationError, match=r"number 2 of 3") as caught:
        MachineKey([A, weak, B])
    assert weak not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"secret_key \(number 1 of 2\) "):
        MachineKey([weak, A])


@pytest.mark.parametrize("wrong", [5, None, {"a": A}, {A}, object()])
def test_a_secret_of_another_type_is_refused(wrong):
    """The message names the setting and the type."""
    with pytest.raises(ConfigurationError, match=f"secret_key must be .* not {type(wrong).__name__}"):
        MachineKey(wrong)


def test_a_generated_secret_is_384_random_bits():
    """As text for a setting or a file."""
    generated = {MachineKey.generate() for _ in range(9)}
    assert {len(base64.urlsafe_b64decode(secret)) for secret in generated} == {48}
    assert len(generated) == 9


@pytest.mark.parametrize(
    "no_handle", ["", "x", "a" * 31, "a" * 33, "a" * 36, "a" * 28, "é" * 32, " ", "a" * 16 + " " + "a" * 16]
)
def test_what_is_no_handle_leads_to_no_store_key(no_handle):
    """Too short, too long, other characters, another spelling."""
    assert KEY.store_keys_of(no_handle) == []


@pytest.mark.parametrize(
    ("asked", "kept"), [(0.02, 0.02), (10.22, 10.22), (10.23, 11), (511, 511), (512, 520), (511 * 86400, 511 * 86400)]
)
def test_the_ends_of_a_unit_are_exact(asked, kept):
    """The smallest and the largest number of steps that one has; without a signature as with one."""
    identity = new(KEY, asked)
    assert identity.idle_timeout == kept
    found = KEY.identity_of(identity.name)
    assert found is not None
    assert found.idle_timeout == kept


def test_the_longest_idle_timeout_is_511_days():
    """Whatever is longer than that is that."""
    assert new(KEY, 600 * 86400).idle_timeout == 511 * 86400


def test_a_token_tells_whether_it_has_an_idle_timeout_of_its_own():
    """Genuine or not; what has not the length of a token has none."""
    assert has_idle_timeout(new(KEY, 300).token.encode())
    assert not has_idle_timeout(TOKEN)
    assert not has_idle_timeout(new(KEY, 300).token.encode()[:-1])
    assert not has_idle_timeout(b"")


def test_a_name_of_an_application_may_be_any_text():
    """Also one that no encoding has, as an environment variable may be."""
    odd = MachineKey(A, app_name="\udcff")
    assert odd.verify(new_token(odd)) is not None
    assert odd.fingerprints() != MachineKey(A, app_name="").fingerprints()


def test_only_the_records_of_a_moment_are_remembered():
    """A crawl of many sessions costs no memory for ever."""
    key = MachineKey(A)
    for _ in range(1000):
        new(key)
    assert key.keys.first.of_record.cache_info().currsize <= 128
