"""cli/progress.py: a bar on a terminal, a few lines in a log."""

import io

from slipstream_engine.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal() -> None:
    """The bar is drawn over itself and ends its line when all is done."""
    stream = Terminal()
    progress = Progress(total=60, unit="frames", now_s=100.0, stream=stream)
    progress.show(0, now_s=100.0)
    progress.show(20, now_s=104.0)
    progress.show(60, now_s=112.0)
    drawn = [line.removesuffix("\x1b[K") for line in stream.getvalue().split("\r")[1:]]
    assert drawn == [
        f"[{'.' * 30}] 0 % 0/60 frames, 0.0 a second, 0:00 left",
        f"[{'#' * 10}{'.' * 20}] 33 % 20/60 frames, 5.0 a second, 0:08 left",
        f"[{'#' * 30}] 100 % 60/60 frames, 5.0 a second, 0:00 left\x1b[K\n",
    ]


def test_ten_lines_in_a_log() -> None:
    """A log gets a line for every tenth, however often it is told."""
    stream = io.StringIO()
    progress = Progress(total=1000, unit="frames", now_s=0.0, stream=stream)
    for done in range(1, 1001):
        progress.show(done, now_s=float(done))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[-1] == "100 % 1000/1000 frames, 1.0 a second, 0:00 left"
