"""The age of a stream's pictures."""

from slipstream_server.sound.picture_age import PictureAge


def test_the_mean_follows() -> None:
    """at once from the first picture, then by an eighth with each."""
    age = PictureAge()
    assert [age.observed(800), age.observed(1600)] == [800, 900]
    assert 1590 <= [age.observed(1600) for _ in range(80)][-1] <= 1600
