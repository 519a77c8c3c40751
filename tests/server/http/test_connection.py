"""HttpConnection: what comes is parsed in pieces, whatever aiohttp pauses meanwhile."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.http.connection import PIECE_BYTES, HttpConnection
from slipstream_server.http.connection_table import ConnectionTable, Phase


class Wire(asyncio.Transport):
    """Delivers what is to come, one arrival a turn, while it is read."""

    def __init__(self, arrivals: Sequence[bytes]) -> None:
        super().__init__()
        self.arrivals = list(arrivals)
        self._reads = True

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True


class Parser(asyncio.Protocol):
    """Pauses its transport at the pieces of these numbers, for two turns."""

    def __init__(self, wire: Wire, pauses: set[int]) -> None:
        self.pieces: list[bytes] = []
        self._wire = wire
        self._pauses = pauses

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        if len(self.pieces) in self._pauses:
            self._wire.pause_reading()
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._wire.resume_reading)


@given(
    st.lists(st.integers(1, 6 * PIECE_BYTES), min_size=1, max_size=6),
    st.sets(st.integers(1, 20)),
)
def test_pieces_are_what_came(sizes: list[int], pauses: set[int]) -> None:
    """none is large, lost or out of order; what waits is what came at once, and again after each
    pause of the parser's; reading goes on after the last."""

    async def run() -> None:
        arrivals = [bytes(k % 251 for k in range(n, 2 * n)) for n in sizes]
        wire = Wire(arrivals)
        parser = Parser(wire, pauses)
        table = ConnectionTable(8)
        place = table.admit("a", 0).place
        assert place is not None and place.phase is Phase.HEAD
        connection = HttpConnection(parser, table, place)
        connection.connection_made(wire)
        came = 0
        for _ in range(sum(sizes) // PIECE_BYTES + 4 * len(sizes) + 3 * len(pauses) + 9):
            if wire.is_reading() and wire.arrivals:
                parsed = sum(map(len, parser.pieces))
                assert came - parsed <= max(sizes) * (1 + len(pauses))
                connection.data_received(wire.arrivals[0])
                came += len(wire.arrivals.pop(0))
            await asyncio.sleep(0)
        assert b"".join(parser.pieces) == b"".join(arrivals)
        assert max(map(len, parser.pieces)) <= PIECE_BYTES
        assert wire.is_reading()

    asyncio.run(run())
