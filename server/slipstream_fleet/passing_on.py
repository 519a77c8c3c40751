"""Requests passed on to a node; in the answers sessions name the node."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec
from slipstream_protocol.clock import now_ns
from slipstream_server.errors import EngineUnavailable
from slipstream_server.signaling.webrtc_api import OfferAnswer

from slipstream_fleet.answers import error_answer, no_page_yet
from slipstream_fleet.forwarding import (
    header_value,
    inward_headers,
    outward_headers,
    with_header,
)
from slipstream_fleet.gate_request import GateRequest
from slipstream_fleet.node_client import AnswerTooLarge, HttpAnswer, NodeClient, NodeUnreachable
from slipstream_fleet.node_table import NodeState
from slipstream_fleet.session_addresses import SessionAddress, outside_location
from slipstream_fleet.watch import FleetWatch

_RETRY_S = 3.0
_AT_ONCE = 16  # of the nodes that are asked the same
_ALL_S = 2.0  # for each of them


class PassingOn:
    """Sends callers' requests to nodes.

    Args:
        watch: what is known of the nodes.
        client: sends requests to them.
    """

    def __init__(self, watch: FleetWatch, client: NodeClient) -> None:
        self._watch = watch
        self._client = client

    async def to_node(
        self, request: GateRequest, node: NodeState, *, is_whole: bool = False
    ) -> HttpAnswer:
        """Pass on a request; in the answer sessions name the node.

        Args:
            is_whole: the answer is to be read as one; else a long one has a `rest`.

        Raises:
            NodeUnreachable: if it does not answer.
        """
        headers = inward_headers(
            request.headers,
            client=request.peer.address,
            scheme=request.peer.scheme,
            host=request.peer.host,
        )
        answer = await self._client.send(
            node.address.url,
            request.method,
            request.path,
            headers=headers,
            body=request.body,
            in_parts=request.method == "GET" and not is_whole,
        )
        length = header_value(answer.headers, "Content-Length")
        answer = replace(answer, headers=outward_headers(answer.headers))
        if answer.rest is not None and length:
            return replace(answer, headers=[*answer.headers, ("Content-Length", length)])
        if request.method == "POST" and answer.status in (200, 201):
            return self._named(request, answer, node)
        return answer

    def _named(self, request: GateRequest, answer: HttpAnswer, node: NodeState) -> HttpAnswer:
        name = node.address.name
        if answer.status == 201:
            location = header_value(answer.headers, "Location")
            if request.raw_path.startswith("/whip"):
                self._watch.table.note(name, location.split("/")[-2], now_ns())
            return replace(
                answer,
                headers=with_header(answer.headers, "Location", outside_location(location, name)),
            )
        told = msgspec.json.decode(answer.body, type=OfferAnswer)
        if told.resumeToken is not None:
            self._watch.table.note(name, told.streamId, now_ns())
        told = msgspec.structs.replace(told, sessionId=str(SessionAddress(name, told.sessionId)))
        return replace(answer, body=msgspec.json.encode(told))

    async def to_all(self, request: GateRequest, nodes: Sequence[NodeState]) -> list[HttpAnswer]:
        """The answers of those that answer in time, in the order of the nodes; some are asked at
        once."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def asked(node: NodeState) -> HttpAnswer | None:
            async with free:
                try:
                    async with asyncio.timeout(_ALL_S):
                        return await self.to_node(request, node, is_whole=True)
                except TimeoutError:
                    return None  # the watch says whether it is there
                except NodeUnreachable as error:
                    self._watch.missed(node, error)
                    return None
                except AnswerTooLarge as error:
                    return error_answer(error)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asked(node)) for node in nodes]
        return [answer for task in tasks if (answer := task.result()) is not None]

    async def to_any(self, request: GateRequest) -> HttpAnswer:
        """Whichever answers; each is asked once."""
        tried: set[str] = set()
        while (node := self._watch.table.any_node(but=tried)) is not None:
            tried.add(node.address.name)
            try:
                return await self.to_node(request, node)
            except NodeUnreachable as error:
                self._watch.missed(node, error)
                if error.was_sent and request.method not in ("GET", "HEAD", "OPTIONS"):
                    raise
        accepts = header_value(request.headers, "Accept")
        if request.method == "GET" and "text/html" in accepts:
            return no_page_yet(self._watch.why_none())
        raise EngineUnavailable(
            f"no node of the fleet answers ({self._watch.why_none()}); try again in a moment",
            retry_after_s=_RETRY_S,
        )
