"""A stream's newest generated picture, small, for whoever looks at the list of streams."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial

from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.frames import I420

from slipstream_server.errors import UnknownSession
from slipstream_server.frames.playout import GeneratedFrame
from slipstream_server.send.jpeg import encode_jpeg

KEPT_S = 2.0
LONGEST_PX = 320


class Thumbnail:
    """Made when it is asked for, in a thread, and kept for a while: however many ask, a stream
    costs one small JPEG in that time, and nothing where nobody does.

    Args:
        stream: its id.
        pool: threads for pixels.
    """

    def __init__(self, stream: str, pool: Executor) -> None:
        self._stream = stream
        self._pool = pool
        self._newest: I420 | None = None
        self._made_of: I420 | None = None
        self._jpeg = b""
        self._made_ns = 0
        self._making = asyncio.Lock()

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        self._newest = frames[-1].frame

    async def jpeg(self) -> bytes:
        """The picture as JPEG, at most some seconds older than the stream's newest.

        Raises:
            UnknownSession: if none was generated yet.
        """
        async with self._making:
            newest = self._newest
            if newest is None:
                raise UnknownSession(
                    f"stream {self._stream!r} has no picture yet, ask again when it is live"
                )
            if newest is not self._made_of and not self._is_fresh():
                work = partial(encode_jpeg, newest, longest_px=LONGEST_PX)
                self._jpeg = await asyncio.get_running_loop().run_in_executor(self._pool, work)
                self._made_of, self._made_ns = newest, now_ns()
            return self._jpeg

    def _is_fresh(self) -> bool:
        return bool(self._jpeg) and now_ns() - self._made_ns < KEPT_S * NS_PER_S
