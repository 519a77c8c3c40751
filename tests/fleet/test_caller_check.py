"""Who may be given a place, by the token that is shown."""

import pytest
from slipstream_fleet.caller_check import CallerCheck
from slipstream_server.errors import TooOften, Unauthorized
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.http.token_issuer import make_issuer
from slipstream_server.http.wrong_tokens import FREE_TRIES

TOKEN = "a token of this fleet"
BROWSER = "b" * 32


def allows(check: CallerCheck, role: Role, stream: str, *tokens: str, cookies: str = "") -> bool:
    return check.allows(role, stream, tokens=tokens, cookies=cookies, client="203.0.113.5")


def test_without_a_token_everybody_may_do_everything() -> None:
    """as with one server on a loopback address."""
    assert allows(CallerCheck(""), Role.ADMIN, ALL_STREAMS)


def test_links_are_good_for_what_they_say() -> None:
    """as at each node, whose token is the same; any that is shown will do."""
    check, issuer = CallerCheck(TOKEN), make_issuer(TOKEN)
    link = issuer.issue(Role.PUBLISH, "stage").token
    other = make_issuer("another token").issue(Role.ADMIN, ALL_STREAMS).token
    assert allows(check, Role.PUBLISH, "stage", other, link)
    assert not allows(check, Role.PUBLISH, "other", link)
    assert not allows(check, Role.ADMIN, ALL_STREAMS, link, other)
    assert not allows(check, Role.VIEW, "stage")


def test_a_pages_token_needs_its_browsers_cookie() -> None:
    """whichever port the cookie is for."""
    check = CallerCheck(TOKEN)
    page = make_issuer(TOKEN).issue(Role.ADMIN, ALL_STREAMS, browser=BROWSER).token
    cookies = f"other=1; __Host-slipstream-443={'c' * 32}; slipstream-8080={BROWSER}"
    assert allows(check, Role.ADMIN, ALL_STREAMS, page, cookies=cookies)
    for wrong in ("", f"other={BROWSER}", 'a="'):
        assert not allows(check, Role.ADMIN, ALL_STREAMS, page, cookies=wrong)


def test_whoever_guesses_has_to_wait() -> None:
    """the right token is of no use then, and others are not held up."""
    check = CallerCheck(TOKEN)
    assert check.is_admin(tokens=[TOKEN], cookies="", client="203.0.113.5")
    for number in range(FREE_TRIES):
        assert not allows(check, Role.VIEW, "stage", f"guess {number}")
    assert not allows(check, Role.VIEW, "stage", TOKEN)
    assert check.is_admin(tokens=[TOKEN], cookies="", client="203.0.113.6")


def test_whoever_may_do_anything_is_let_through() -> None:
    """with the least of links; who shows nothing, or another fleet's link, is not."""
    check, issuer = CallerCheck(TOKEN), make_issuer(TOKEN)
    link = issuer.issue(Role.VIEW, "stage").token
    other = make_issuer("another token").issue(Role.ADMIN, ALL_STREAMS).token
    check.require_any(tokens=[other, link], cookies="", client="203.0.113.5")
    CallerCheck("").require_any(tokens=[], cookies="", client="203.0.113.5")
    with pytest.raises(Unauthorized, match="the token is missing"):
        check.require_any(tokens=[], cookies="", client="203.0.113.5")
    with pytest.raises(Unauthorized, match="the token is wrong, or has ended"):
        check.require_any(tokens=[other], cookies="", client="203.0.113.5")


def test_whoever_guesses_is_told_how_long_to_wait() -> None:
    """but not for a link, which nobody guesses."""
    check = CallerCheck(TOKEN)
    link = make_issuer("another token").issue(Role.ADMIN, ALL_STREAMS).token
    for number in range(FREE_TRIES):
        with pytest.raises(Unauthorized):
            check.require_any(tokens=[f"guess {number}"], cookies="", client="203.0.113.5")
    with pytest.raises(TooOften, match=r"too many wrong tokens came from 203\.0\.113\.5"):
        check.require_any(tokens=[TOKEN], cookies="", client="203.0.113.5")
    with pytest.raises(Unauthorized):
        check.require_any(tokens=[link], cookies="", client="203.0.113.5")
