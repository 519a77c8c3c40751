"""http/signed_tokens.py: what links carry, and what becomes of any other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.http.signed_tokens import TokenRejected, TokenSigner, looks_signed

SIGNER = TokenSigner("a-token-of-enough-length")
OTHER = TokenSigner("another-token-of-length!")
STREAMS = st.from_regex(r"[A-Za-z0-9_~-]{1,64}", fullmatch=True) | st.just(ALL_STREAMS)
ROLES = st.sampled_from([role for role in Role if role is not Role.ADMIN])
TIMES_S = st.integers(1, 10**11)


def refusal(
    token: str, *, now_s: float = 0, browser: str = "", signer: TokenSigner = SIGNER
) -> str:
    with pytest.raises(TokenRejected) as caught:
        signer.verify(token, now_s=now_s, browser=browser)
    return str(caught.value)


@pytest.mark.parametrize("browser", ["", "a-browser"])
@given(role=ROLES, stream=STREAMS, expires_s=TIMES_S)
def test_a_token_is_for_what_it_was_signed_for(
    browser: str, role: Role, stream: str, expires_s: int
) -> None:
    """until it expires, and nowhere but at the server whose token it was made from."""
    token = SIGNER.sign(role, stream, expires_s, browser=browser)
    assert looks_signed(token)
    found = SIGNER.verify(token, now_s=expires_s - 0.5, browser=browser)
    assert (found.role, found.stream, found.expires_s) == (role, stream, expires_s)
    assert "has expired" in refusal(token, now_s=expires_s, browser=browser)
    refusal(token, browser=browser, signer=OTHER)


def test_a_link_outlives_an_upgrade_of_the_server() -> None:
    """what was signed once holds as long as it says: how the key is made is not changed."""
    link = "slip1.view.stage.1900000000.SfwkV8O0jQ3t9nC-isgsuJxERnWZLtMH4r8CFNLhetY"
    assert SIGNER.verify(link, now_s=0).stream == "stage"


@given(st.data())
def test_no_character_of_it_can_be_changed(data: st.DataObject) -> None:
    """nor left out, nor put in: neither the role, nor the stream, nor the time."""
    token = SIGNER.sign(Role.VIEW, "stage", 1_900_000_000)
    at = data.draw(st.integers(0, len(token)))
    put = data.draw(st.text(max_size=2))
    changed = token[:at] + put + token[at + data.draw(st.integers(0, 2)) :]
    if changed != token:
        refusal(changed)


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    """surrogates, which stand for bytes that were no text, among them."""
    refusal(text, browser=text)
    assert not looks_signed(text)
    refusal(SIGNER.sign(Role.VIEW, "stage", 9, browser="b"), browser=text if text != "b" else "")


def test_a_pages_token_is_of_no_use_without_its_browser() -> None:
    """nor is a link's made a page's, or the other way round."""
    page = SIGNER.sign(Role.ADMIN, ALL_STREAMS, 9, browser="mine")
    assert "open it by its link again" in refusal(page)
    assert "open it by its link again" in refusal(page, browser="theirs")
    refusal(page.replace("slip1p", "slip1"), browser="mine")
    link = SIGNER.sign(Role.VIEW, "stage", 9)
    assert SIGNER.verify(link, now_s=0, browser="any").role is Role.VIEW
    refusal(link.replace("slip1", "slip1p"), browser="mine")


def test_the_parts_cannot_be_cut_otherwise() -> None:
    """what one token says in two of its parts, no other says in others."""
    one = SIGNER.sign(Role.VIEW, "a", 12, browser="x")
    for browser in ("2\0x", "\0x", "x\0"):
        refusal(one, browser=browser)


@pytest.mark.parametrize("stream", ["", "a.b", "a/b", "é", "a" * 65, "**", "a\n"])
def test_no_token_is_for_a_name_that_no_stream_has(stream: str) -> None:
    with pytest.raises(ValueError, match="no token of role view can be for stream"):
        SIGNER.sign(Role.VIEW, stream, 9)


def test_the_admins_is_for_all_streams() -> None:
    token = SIGNER.sign(Role.ADMIN, ALL_STREAMS, 9)
    assert SIGNER.verify(token, now_s=0).takes_any_stream
    with pytest.raises(ValueError, match="no token of role admin can be for stream 'stage'"):
        SIGNER.sign(Role.ADMIN, "stage", 9)


def test_who_owns_a_stream_is_the_same_with_every_key_for_its_name() -> None:
    """also with one that was issued later; and is not who has one for another name."""

    def owner(role: Role, stream: str, expires_s: int) -> str:
        return SIGNER.verify(SIGNER.sign(role, stream, expires_s), now_s=0).owner

    assert owner(Role.PUBLISH, "a", 5) == owner(Role.PUBLISH, "a", 9)
    assert owner(Role.PUBLISH, "a", 5) != owner(Role.PUBLISH, "b", 5)
    assert owner(Role.PUBLISH, "a", 5) != owner(Role.PUBLISH, ALL_STREAMS, 5)
