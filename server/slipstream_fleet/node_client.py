"""Requests to nodes over HTTP."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import aiohttp
import msgspec
from multidict import CIMultiDict
from slipstream_server.errors import RequestError
from slipstream_server.signaling.node_api import NodeReport
from yarl import URL

from slipstream_fleet.forwarding import Headers

REPORT_S = 1.0
_CONNECT_S = 1.0
_ANSWER_S = 30.0  # an offer that waits for a lane; a trace lasts longer, and has its own
_TRACE_S = 120.0
_WHOLE_MAX_BYTES = 64 << 20
_PART_BYTES = 256 << 10


class NodeUnreachable(Exception):
    """A node does not answer.

    Args:
        reason: for people.
        is_refused: nobody listens there.
        was_sent: whether it may have got the request.
    """

    def __init__(self, reason: str, *, is_refused: bool, was_sent: bool) -> None:
        super().__init__(reason)
        self.is_refused = is_refused
        self.was_sent = was_sent


class AnswerRest:
    """What follows the first part of a long answer, as it comes from the node.

    Args:
        response: whose connection is kept until this is read to its end, or closed.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._response.content.iter_chunked(_PART_BYTES):
            yield part

    def close(self) -> None:
        """Read no more of it."""
        self._response.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A node's answer, or the gate's own.

    Args:
        rest: what comes after `body`; None if that is all.
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    rest: AnswerRest | None = None


class AnswerTooLarge(RequestError):
    """A node's answer is more than the gate reads as one; a part of it would be taken for all."""

    status: ClassVar[int] = 502


class NodeClient:
    """Keeps connections to nodes while the block runs.

    Args:
        token: of the fleet; empty for none.
        whole_max_bytes: that an answer may have which is read as one.
    """

    def __init__(self, token: str, *, whole_max_bytes: int = _WHOLE_MAX_BYTES) -> None:
        self._whole_max_bytes = whole_max_bytes
        self._own_headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"} if token else {}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "NodeClient":
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def send(
        self,
        url: str,
        method: str,
        path: str,
        *,
        headers: Headers = (),
        body: bytes = b"",
        in_parts: bool = False,
    ) -> HttpAnswer:
        """Pass a request on.

        Args:
            path: with its escapes and the query.
            in_parts: a long answer has a `rest`, which is to be read or closed.

        Raises:
            NodeUnreachable: if there is no answer.
            AnswerTooLarge: if it is more than is read as one.
        """
        limit_s = _TRACE_S if path.partition("?")[0].endswith("/trace") else _ANSWER_S
        return await self._request(
            url, method, path, headers, body, limit_s=limit_s, in_parts=in_parts
        )

    async def report(self, url: str) -> NodeReport:
        """A node's report.

        Raises:
            NodeUnreachable: if there is none in time, or it is not one.
        """
        headers = tuple(self._own_headers.items())
        answer = await self._request(url, "GET", "/api/v1/node", headers, b"", limit_s=REPORT_S)
        if answer.status != 200:
            raise NodeUnreachable(
                f"{url} answers {answer.status} when it is asked for its report: does it have the "
                "fleet's token, and the same version?",
                is_refused=True,
                was_sent=True,
            )
        try:
            return msgspec.json.decode(answer.body, type=NodeReport)
        except msgspec.MsgspecError as error:
            raise NodeUnreachable(
                f"{url} reports in another version's form: {error}", is_refused=True, was_sent=True
            ) from error

    async def _request(
        self,
        url: str,
        method: str,
        path: str,
        headers: Headers,
        body: bytes,
        *,
        limit_s: float,
        in_parts: bool = False,
    ) -> HttpAnswer:
        assert self._http is not None, "requests are made within the block"
        total_s = None if in_parts else limit_s
        try:
            response = await self._http.request(
                method,
                URL(url + path, encoded=True),
                headers=CIMultiDict(headers),
                data=body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=total_s, sock_connect=_CONNECT_S, sock_read=limit_s
                ),
            )
            rest: AnswerRest | None = None
            try:
                content, is_all = await self._first_part(response, in_parts=in_parts)
                rest = None if is_all else AnswerRest(response)
            finally:
                if rest is None:
                    response.release()
            found = [(name, value) for name, value in response.headers.items()]
            return HttpAnswer(status=response.status, headers=found, body=content, rest=rest)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            is_refused = isinstance(error, aiohttp.ClientConnectorError)
            raise NodeUnreachable(
                f"{url} is not there: {error}", is_refused=is_refused, was_sent=False
            ) from error
        except aiohttp.ClientConnectionError as error:
            raise NodeUnreachable(
                f"{url} has broken off: {error}", is_refused=True, was_sent=True
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeUnreachable(
                f"{url} does not answer within {limit_s:g} s", is_refused=False, was_sent=True
            ) from error

    async def _first_part(
        self, response: aiohttp.ClientResponse, *, in_parts: bool
    ) -> tuple[bytes, bool]:
        """What is read at once, and whether that is all."""
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if in_parts:
                if len(content) > _PART_BYTES:
                    return bytes(content), False
            elif len(content) > self._whole_max_bytes:
                raise AnswerTooLarge(
                    f"the answer to {response.url.path} has more than {self._whole_max_bytes} "
                    "bytes, the most that the gate reads as one; ask the node itself"
                )
        return bytes(content), True
