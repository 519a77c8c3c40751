"""Recordings of streams: begun, ended, listed, downloaded.

GET     /api/v1/streams/{stream}/recording          whether it is recorded
POST    /api/v1/streams/{stream}/recording          begin
DELETE  /api/v1/streams/{stream}/recording          end
GET     /api/v1/streams/{stream}/recordings         its files, also after the stream has ended
GET     /api/v1/streams/{stream}/recordings/{file}  one of them
"""

import asyncio

import msgspec
from aiohttp import web

from slipstream_server.errors import UnknownSession
from slipstream_server.recordings.folder import RecordingsFolder
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.signaling.json_bodies import json_response
from slipstream_server.streams.recorder import StreamRecorder


class RecordingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file; it may still be written."""

    file: str
    bytes: int


class RecordingList(msgspec.Struct, frozen=True, kw_only=True):
    """Files, the newest first."""

    recordings: tuple[RecordingEntry, ...]


class RecordingsApi:
    """The handlers.

    Args:
        sessions: whose streams are recorded.
        folder: where recordings are; None where none can be made.
    """

    def __init__(self, sessions: SessionRegistry, folder: RecordingsFolder | None) -> None:
        self._sessions = sessions
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        recording = "/api/v1/streams/{stream}/recording"
        return [
            web.get(recording, self.state),
            web.post(recording, self.start),
            web.delete(recording, self.stop),
            web.get(f"{recording}s", self.list),
            web.get(f"{recording}s/{{file}}", self.download),
        ]

    async def state(self, request: web.Request) -> web.Response:
        """Whether the stream is recorded."""
        return json_response(self._recorder(request).state)

    async def start(self, request: web.Request) -> web.Response:
        """Begin a recording."""
        return json_response(await self._recorder(request).start(), status=201)

    async def stop(self, request: web.Request) -> web.Response:
        """End the recording; where there is none, that is so already."""
        recorder = self._recorder(request)
        recorder.stop()
        return json_response(recorder.state)

    async def list(self, request: web.Request) -> web.Response:
        """The stream's files."""
        if self._folder is None:
            return json_response(RecordingList(recordings=()))
        files = await asyncio.to_thread(self._folder.files, request.match_info["stream"])
        entries = (RecordingEntry(file=one.name, bytes=one.size_bytes) for one in files)
        return json_response(RecordingList(recordings=tuple(entries)))

    async def download(self, request: web.Request) -> web.StreamResponse:
        """One file, whole or a range of it."""
        if self._folder is None:
            raise UnknownSession("this server makes no recordings")
        stream, name = request.match_info["stream"], request.match_info["file"]
        path = await asyncio.to_thread(self._folder.path, stream, name)
        disposition = f'attachment; filename="slipstream-{name}"'
        return web.FileResponse(path, headers={"Content-Disposition": disposition})

    def _recorder(self, request: web.Request) -> StreamRecorder:
        return self._sessions.stream(request.match_info["stream"]).recorder
