"""http/roles.py: what a credential allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.errors import Forbidden
from slipstream_server.http.roles import ALL_STREAMS, Credential, Role, access_of

ROLES = st.sampled_from(Role)
STREAMS = st.sampled_from(["a", "b", ALL_STREAMS])


@given(ROLES, STREAMS, ROLES, STREAMS)
def test_a_credential_is_for_its_role_and_those_before_and_for_its_stream(
    own: Role, stream: str, needed: Role, wanted: str
) -> None:
    """one for a single stream is not for all of them, nor for the newest."""
    credential = Credential(role=own, stream=stream)
    allowed = own >= needed and stream in (ALL_STREAMS, wanted)
    assert credential.allows(needed, wanted) is allowed
    if not allowed:
        named = {ALL_STREAMS: "for all streams", "a": "for stream 'a'", "b": "for stream 'b'"}
        with pytest.raises(
            Forbidden,
            match=f"is for role {own.label}, {named[stream]}; this needs role {needed.label}, "
            f"{named[wanted]}: ask",
        ):
            credential.require(needed, wanted)
    else:
        credential.require(needed, wanted)


def test_what_is_not_in_the_table_is_not_served() -> None:
    """another method of a route in it as well; HEAD is as GET."""
    assert access_of("GET", "/nothing") is None
    assert access_of("PUT", "/api/v1/streams") is None
    assert access_of("PUT", "/whip/{stream}/{id}") is not None, (
        "refused by name, with what is allowed"
    )
    assert access_of("HEAD", "/metrics") == access_of("GET", "/metrics")
    files = frozenset({"/icon.svg"})
    public = access_of("GET", "/icon.svg", files=files)
    assert public is not None and public.role is None
    assert access_of("POST", "/icon.svg", files=files) is None
