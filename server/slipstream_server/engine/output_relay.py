"""Reads all that an engine process prints, and logs what is within bounds."""

import asyncio
import logging
import os
from types import TracebackType
from typing import Self

from slipstream_protocol.clock import now_ns

from slipstream_server.logs.engine_output import EngineOutput
from slipstream_server.logs.formats import ENGINE_LOGGER

logger = logging.getLogger(ENGINE_LOGGER)

_PIECE_BYTES = 4096  # some fifty lines, which take less than a millisecond
_LAST_OUTPUT_S = 1.0


class OutputRelay:
    """A pipe for one process, read while the block runs.

    The pipe is ours and not the process object's: a program that the engine has started may keep it
    open for ever, and neither the engine's end nor the next start may wait for that.
    """

    def __init__(self) -> None:
        self.output = EngineOutput()

    async def __aenter__(self) -> Self:
        descriptor, self._child_end = os.pipe()
        reader = asyncio.StreamReader()
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
        )
        self._reading = asyncio.create_task(self._read(reader), name="engine output")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.given()
        await asyncio.wait((self._reading,), timeout=_LAST_OUTPUT_S)
        self._reading.cancel()
        self._transport.close()
        await asyncio.wait((self._reading,))

    @property
    def child_end(self) -> int:
        """The descriptor that the process prints to."""
        return self._child_end

    def given(self) -> None:
        """The process has its end; ours is closed, so that the output ends with the process."""
        if self._child_end >= 0:
            os.close(self._child_end)
            self._child_end = -1

    def last_line(self) -> str:
        """The last line printed, for people."""
        return self.output.last[-1].strip() if self.output.last else "it printed nothing"

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_PIECE_BYTES):
            for line in self.output.feed(data, now_ns()):
                logger.log(line.level, "%s", line.text)
            await asyncio.sleep(0)  # what was read already does not wait: others have their turn
        for line in self.output.end(now_ns()):
            logger.log(line.level, "%s", line.text)
