"""offline/damage.py: what was damaged is counted and said once."""

from slipstream_engine.offline.damage import Damage, DamageCount


def test_nothing_to_say() -> None:
    """A whole film has no summary."""
    assert DamageCount().summary() == ""


def test_counts_and_places() -> None:
    """Kinds are counted apart; the first three places are named."""
    found = DamageCount()
    found.note(Damage.PACKET, frame=20)
    for frame in (21, 22, 23, 24):
        found.note(Damage.FRAME, frame=frame)
    assert found.total == 5
    assert found.summary() == (
        "1 damaged packet, 4 frames that are patched up, first after frame 20, 21, 22"
    )
