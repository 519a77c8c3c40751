"""Which servers of a provider's list a browser is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.ice.url_choice import MAX_URLS, choose_urls

LONG = [
    "stun:stun.example.net:3478",
    "stun:stun.example.net:53",
    "turn:turn.example.net:3478?transport=udp",
    "turn:turn.example.net:53?transport=udp",
    "turn:turn.example.net:3478?transport=tcp",
    "turn:turn.example.net:80?transport=tcp",
    "turns:turn.example.net:5349?transport=tcp",
    "turns:turn.example.net:443?transport=tcp",
]


def test_one_of_each_kind_is_taken_of_a_long_list() -> None:
    """the one at port 443 of those over TLS, none at port 53."""
    assert choose_urls(LONG) == (LONG[0], LONG[2], LONG[4], LONG[7])


def test_with_less_room_what_helps_most_callers_is_taken() -> None:
    """a relay over UDP, then one that firewalls let through."""
    assert choose_urls(LONG, most=2) == (LONG[2], LONG[7])
    assert choose_urls(LONG, most=0) == ()


@pytest.mark.parametrize(
    "urls",
    [
        [LONG[0], LONG[2], LONG[7]],
        ["turn:a.net", "turn:b.net", "turn:c.net", "turn:d.net"],
        ["turn:[2001:db8::1]:3478", "stun:[2001:db8::53]", "TURNS:x.net:443"],
    ],
)
def test_a_short_list_is_taken_as_it_is(urls: list[str]) -> None:
    """whatever its kinds."""
    assert choose_urls(urls) == tuple(urls)


@pytest.mark.parametrize(
    "url",
    ["turn:a.net:53", "stun:[2001:db8::1]:53", "turns:a.net:53?transport=tcp", "http://a.net",
     "turn:", "turn:a.net:x", "", "stun:a.net:"],
)  # fmt: skip
def test_what_a_browser_does_not_take_is_left_out(url: str) -> None:
    """blocked, of another scheme, or unreadable."""
    assert choose_urls([url]) == ()


@given(st.lists(st.text(max_size=30) | st.sampled_from(LONG)))
def test_any_list(urls: list[str]) -> None:
    """at most four, all of the list."""
    chosen = choose_urls(urls)
    assert len(set(chosen)) <= MAX_URLS
    assert set(chosen) <= set(urls)
