"""FFmpeg as a WHIP publisher, in a process of its own: it holds the interpreter while it waits.

Run as `python -m tests.server.ffmpeg_whip URL PROFILE KEY=VALUE...`; publishes numbered pictures
until its standard input is closed. The keys are the muxer's options.
"""

import sys
import threading
from fractions import Fraction

import av
from av.video.stream import VideoStream

from tests.server.calls import numbered

FPS = 30
_LONGEST_S = 60


def main(url: str, profile: str, *options: str) -> None:
    av.logging.set_level(av.logging.ERROR)
    av.logging.restore_default_callback()
    asked_to_stop = threading.Event()
    threading.Thread(target=_until_closed, args=(asked_to_stop,), daemon=True).start()
    muxer = dict(option.split("=", 1) for option in options)
    with av.open(url, "w", format="whip", options=muxer) as container:
        stream = container.add_stream("libx264", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.gop_size = FPS
        stream.max_b_frames = 0
        stream.profile = profile
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for number in range(FPS * _LONGEST_S):
            frame = numbered(number)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
            if asked_to_stop.wait(1 / FPS):
                return


def _until_closed(asked_to_stop: threading.Event) -> None:
    sys.stdin.read()
    asked_to_stop.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
