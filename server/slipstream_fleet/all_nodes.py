"""Requests for what several nodes have a part of: the list of streams, and recordings, which stay
where they were made when their stream moves on."""

from collections.abc import Sequence

import msgspec
from slipstream_server.signaling.recordings_api import RecordingEntry, RecordingList

from slipstream_fleet.answers import JSON_HEADERS
from slipstream_fleet.gate_request import GateRequest
from slipstream_fleet.node_client import HttpAnswer, NodeUnreachable
from slipstream_fleet.node_table import NodeState
from slipstream_fleet.passing_on import PassingOn
from slipstream_fleet.watch import FleetWatch

_OK, _NOT_FOUND = 200, 404


class AllNodes:
    """Asks all nodes at once.

    Args:
        watch: what is known of the nodes.
        nodes: passes requests on.
    """

    def __init__(self, watch: FleetWatch, nodes: PassingOn) -> None:
        self._watch = watch
        self._nodes = nodes

    async def streams(self, request: GateRequest) -> HttpAnswer:
        """The lists of all nodes as one; the first refusal stands for all."""
        answers = await self._ask(request)
        if refusal := _refusal(answers):
            return refusal
        entries = [entry for one in answers for entry in msgspec.json.decode(one.body)["streams"]]
        return await self._listed(request, answers, {"streams": entries})

    async def recordings(self, request: GateRequest) -> HttpAnswer:
        """A stream's files on all nodes, the newest first; nodes of one machine share a folder."""
        answers = await self._ask(request)
        if refusal := _refusal(answers):
            return refusal
        files: dict[str, RecordingEntry] = {}
        for one in answers:
            for entry in msgspec.json.decode(one.body, type=RecordingList).recordings:
                known = files.get(entry.file)
                if known is None or known.bytes < entry.bytes:
                    files[entry.file] = entry
        newest_first = tuple(files[name] for name in sorted(files, reverse=True))
        return await self._listed(request, answers, RecordingList(recordings=newest_first))

    async def recording(self, request: GateRequest) -> HttpAnswer:
        """A file of the first node that has it."""
        for node in self._answering():
            try:
                answer = await self._nodes.to_node(request, node)
            except NodeUnreachable as error:
                self._watch.missed(node, error)
                continue
            if answer.status != _NOT_FOUND:
                return answer
        return await self._nodes.to_any(request)  # which has none either, and says so

    async def _listed(
        self, request: GateRequest, answers: Sequence[HttpAnswer], content: object
    ) -> HttpAnswer:
        if not answers:
            return await self._nodes.to_any(request)  # which says why there is no node
        return HttpAnswer(status=_OK, headers=JSON_HEADERS, body=msgspec.json.encode(content))

    async def _ask(self, request: GateRequest) -> list[HttpAnswer]:
        """The answers of those that answer in time."""
        return await self._nodes.to_all(request, self._answering())

    def _answering(self) -> list[NodeState]:
        return [node for node in self._watch.table if node.report is not None]


def _refusal(answers: Sequence[HttpAnswer]) -> HttpAnswer | None:
    return next((one for one in answers if one.status != _OK), None)
