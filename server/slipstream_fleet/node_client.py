"""Requests to nodes over HTTP."""

from collections.abc import Mapping
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
_BODY_MAX_BYTES = 64 << 20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A node's answer, or the gate's own."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class AnswerTooLarge(RequestError):
    """A node's answer is more than the gate passes on; a part of it would be taken for all."""

    status: ClassVar[int] = 502


class NodeClient:
    """Keeps connections to nodes while the block runs.

    Args:
        token: of the fleet; empty for none.
        answer_max_bytes: that an answer may have.
    """

    def __init__(self, token: str, *, answer_max_bytes: int = _BODY_MAX_BYTES) -> None:
        self._answer_max_bytes = answer_max_bytes
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
        self, url: str, method: str, path: str, *, headers: Headers = (), body: bytes = b""
    ) -> HttpAnswer:
        """Pass a request on.

        Args:
            path: with its escapes and the query.

        Raises:
            NodeUnreachable: if there is no answer.
            AnswerTooLarge: if it is more than is passed on.
        """
        limit_s = _TRACE_S if path.partition("?")[0].endswith("/trace") else _ANSWER_S
        return await self._request(url, method, path, headers, body, limit_s=limit_s)

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
        self, url: str, method: str, path: str, headers: Headers, body: bytes, *, limit_s: float
    ) -> HttpAnswer:
        assert self._http is not None, "requests are made within the block"
        try:
            async with self._http.request(
                method,
                URL(url + path, encoded=True),
                headers=CIMultiDict(headers),
                data=body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=limit_s, sock_connect=_CONNECT_S),
            ) as response:
                content = b""
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > self._answer_max_bytes:
                        raise AnswerTooLarge(
                            f"the answer of {url} has more than {self._answer_max_bytes} bytes, "
                            "the most that the gate passes on; fetch it from the node itself"
                        )
                found = [(name, value) for name, value in response.headers.items()]
                return HttpAnswer(status=response.status, headers=found, body=content)
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
