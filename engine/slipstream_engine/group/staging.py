"""Frames between the leader's loop and its rank, which is another thread of the same process."""

import numpy as np
from slipstream_protocol.frames import I420


class Staging:
    """Copies of what goes in and comes out, by the number of the pass.

    The caller's memory is another chunk's as soon as a chunk is ordered, and a stream may be closed
    before its frames have come back; so neither is used across threads.
    """

    def __init__(self) -> None:
        self._inputs: dict[int, I420] = {}
        self._outputs: dict[int, I420] = {}

    def put_input(self, number: int, frames_THW: I420) -> None:
        self._inputs[number] = frames_THW.copy()

    def take_input(self, number: int) -> I420:
        return self._inputs.pop(number)

    def expect_output(self, number: int, like_THW: I420) -> None:
        self._outputs[number] = np.empty_like(like_THW)

    def output(self, number: int) -> I420:
        """Where the frames of a pass are put."""
        return self._outputs[number]

    def take_output(self, number: int) -> I420:
        return self._outputs.pop(number)
