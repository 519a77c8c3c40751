"""Headers of what the gate passes on."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_fleet.forwarding import header_value, inward_headers, outward_headers
from slipstream_server.http.forwarded import Caller, ForwardedHeaders, caller_of_request
from slipstream_server.web_addressing import TrustedProxies

addresses = st.ip_addresses(v=4).map(str)


@given(client=addresses, claimed=st.lists(addresses, max_size=3))
def test_a_node_knows_whose_request_it_is(client: str, claimed: list[str]) -> None:
    """by the gate's word, whatever the caller says of itself."""
    headers = [("X-Forwarded-For", one) for one in claimed]
    passed = inward_headers(headers, client=client, scheme="https", host="fleet.example")

    def values(name: str) -> list[str]:
        return [value for found, value in passed if found == name]

    direct = Caller(address="10.0.0.1", scheme="http", host="10.0.0.2:8100")
    caller = caller_of_request(
        direct,
        ForwardedHeaders(
            for_=values("X-Forwarded-For"),
            proto=values("X-Forwarded-Proto"),
            host=values("X-Forwarded-Host"),
        ),
        TrustedProxies.parse("10.0.0.1/32"),
    )
    if client != "10.0.0.1":
        assert (caller.address, caller.scheme, caller.host) == (client, "https", "fleet.example")


def test_hop_by_hop_headers_stay_on_their_hop() -> None:
    """those of the standard, and those that `Connection` names, in both directions."""
    headers = [
        *[("Connection", "keep-alive, X-Secret"), ("X-Secret", "s"), ("TE", "trailers")],
        *[("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("Keep-Alive", "5")],
        *[("Authorization", "Bearer t"), ("Cookie", "a=b"), ("Host", "fleet"), ("If-Match", "*")],
    ]
    passed = {name for name, _ in inward_headers(headers, client="c", scheme="http", host="h")}
    own = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"}
    assert passed == {"Authorization", "Cookie", "If-Match"} | own
    assert {name for name, _ in outward_headers(headers)} == {
        *("Authorization", "Cookie", "Host", "If-Match"),
    }


def test_several_headers_of_one_name_stay_several() -> None:
    """each TURN server has a Link of its own, and cookies come line by line."""
    headers = [("Link", "<turn:a>"), ("link", "<turn:b>"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
    assert outward_headers(headers) == headers
    assert header_value(headers, "LINK") == "<turn:a>"
    assert header_value(headers, "Location") == ""
