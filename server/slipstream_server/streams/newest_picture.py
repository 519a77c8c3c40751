"""A stream's newest generated picture: small for lists of streams, or whole as a still."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.frames import I420

from slipstream_server.errors import UnknownSession
from slipstream_server.frames.playout import GeneratedFrame
from slipstream_server.send.still_image import encode_jpeg, encode_png

KEPT_S = 2.0
LONGEST_PX = 320


class NewestPicture:
    """Made when it is asked for, in a thread, one at a time, and nothing where nobody does. A
    thumbnail is kept for a while: however many ask, a stream costs one in that time.

    Args:
        stream: its id.
        pool: threads for pixels.
    """

    def __init__(self, stream: str, pool: Executor) -> None:
        self._stream = stream
        self._pool = pool
        self._newest: I420 | None = None
        self._thumbnail_of: I420 | None = None
        self._thumbnail = b""
        self._thumbnail_ns = 0
        self._still_of: I420 | None = None
        self._still = b""
        self._making = asyncio.Lock()

    def push(self, frames: Sequence[GeneratedFrame]) -> None:
        """Take in one chunk, oldest frame first."""
        self._newest = frames[-1].frame

    async def thumbnail(self) -> bytes:
        """The picture as a small JPEG, at most some seconds older than the stream's newest.

        Raises:
            UnknownSession: if none was generated yet.
        """
        async with self._making:
            newest = self._found()
            if newest is not self._thumbnail_of and not self._is_fresh():
                self._thumbnail = await self._made(partial(encode_jpeg, longest_px=LONGEST_PX))
                self._thumbnail_of, self._thumbnail_ns = newest, now_ns()
            return self._thumbnail

    async def still(self) -> bytes:
        """The picture as it was made, as PNG.

        Raises:
            UnknownSession: if none was generated yet.
        """
        async with self._making:
            newest = self._found()
            if newest is not self._still_of:
                self._still = await self._made(encode_png)
                self._still_of = newest
            return self._still

    def _found(self) -> I420:
        if self._newest is None:
            raise UnknownSession(
                f"stream {self._stream!r} has no picture yet, ask again when it is live"
            )
        return self._newest

    async def _made(self, encode: Callable[[I420], bytes]) -> bytes:
        work = partial(encode, self._found())
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _is_fresh(self) -> bool:
        return bool(self._thumbnail) and now_ns() - self._thumbnail_ns < KEPT_S * NS_PER_S
