"""Sessions that name their node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_fleet.session_addresses import SessionAddress, outside_location

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
sessions = st.text(min_size=1, max_size=80)


@given(node=names, inside=sessions)
def test_an_address_is_read_as_it_was_written(node: str, inside: str) -> None:
    """whatever a node calls its session, dots and all."""
    assert SessionAddress.parse(str(SessionAddress(node, inside))) == SessionAddress(node, inside)


@given(text=st.text(max_size=80))
def test_any_text_may_come(text: str) -> None:
    """what is no address is None."""
    parsed = SessionAddress.parse(text)
    assert parsed is None or str(parsed) == text


@pytest.mark.parametrize("text", ["", "node", "node.", ".id", "a b.id", f"{'n' * 65}.id"])
def test_what_is_no_address(text: str) -> None:
    assert SessionAddress.parse(text) is None


def test_a_node_whose_name_cannot_be_is_refused() -> None:
    """it would not be read back."""
    with pytest.raises(ValueError, match=r"^node is 'a\.b', it must be 1 to 64 letters"):
        SessionAddress("a.b", "id")


def test_a_location_names_the_node() -> None:
    assert outside_location("/base/whip/stage/id.proof", "n1") == "/base/whip/stage/n1.id.proof"
