"""offline/tracks.py: what of a file is the film."""

from slipstream_engine.offline.tracks import Track, TrackKind, choose_tracks

FILM = Track(index=1, kind=TrackKind.VIDEO, codec="h264", pixels=100, frames=50)
SOUND = Track(index=2, kind=TrackKind.AUDIO, codec="aac")


def video(index: int, **changes: object) -> Track:
    given: dict[str, object] = {"codec": "h264", "pixels": 100, "frames": 50} | changes
    return Track(index=index, kind=TrackKind.VIDEO, **given)  # type: ignore[arg-type]


def test_a_cover_is_not_the_film() -> None:
    """A still picture before the film, declared or of one frame, is passed over without a word."""
    for cover in (
        video(0, codec="mjpeg", is_picture=True, pixels=999),
        video(0, codec="png", frames=1, is_default=True, pixels=999),
    ):
        choice = choose_tracks([cover, FILM, SOUND])
        assert (choice.video, choice.audio, choice.notes) == (1, (2,), ())


def test_a_film_of_still_pictures_is_a_film() -> None:
    """Motion JPEG, and one whose frames are not counted, is a film."""
    for frames in (0, 2, 100):
        assert choose_tracks([video(0, codec="mjpeg", frames=frames)]).video == 0


def test_the_default_then_the_largest() -> None:
    """Of several films the default one is taken, then the largest, then the first; it is told."""
    assert choose_tracks([FILM, video(3, pixels=400)]).video == 3
    choice = choose_tracks([FILM, video(3, pixels=400), video(4, is_default=True)])
    assert choice.video == 4
    assert choice.notes == (
        "video track 1 is left out, track 4 is the film",
        "video track 3 is left out, track 4 is the film",
    )
    assert choose_tracks([video(5), video(3)]).video == 3


def test_what_no_decoder_knows_is_left_out() -> None:
    """Unknown sound is told; unknown pictures give way to known ones."""
    unknown = Track(index=3, kind=TrackKind.AUDIO, codec=None)
    telemetry = Track(index=4, kind=TrackKind.OTHER, codec=None)
    choice = choose_tracks([video(0, codec=None, is_default=True), FILM, SOUND, unknown, telemetry])
    assert (choice.video, choice.audio) == (1, (2,))
    assert "sound track 3 is left out, its kind is not known here" in choice.notes


def test_without_a_film() -> None:
    """Each lack has its own words."""
    assert choose_tracks([SOUND]).refusal == "holds no video, name a video file"
    cover = video(0, is_picture=True)
    assert choose_tracks([cover, SOUND]).refusal.startswith("holds a still picture and no film")
    assert "of a kind that is not known here" in choose_tracks([video(0, codec=None)]).refusal
