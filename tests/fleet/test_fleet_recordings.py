"""Recordings of a fleet: on whichever node they were made."""

import os
from pathlib import Path

import aiohttp
import pytest

from tests.fleet.gates import node, running_gate

LIST = "/api/v1/streams/stage/recordings"
OLD, NEW = "20260101-000000.mp4", "20260102-000000.mp4"
LONG_BYTES = (3 << 20) + 7  # more than the gate passes on as one
TOKEN = "a token of this fleet"


def recorded(folder: Path, file: str, content: bytes) -> Path:
    """The node's folder, with a recording of the stream in it."""
    (folder / "stage").mkdir(parents=True, exist_ok=True)
    (folder / "stage" / file).write_bytes(content)
    return folder


async def test_files_of_all_nodes_are_listed_and_read(tmp_path: Path) -> None:
    """whole or a range, however long; what no node has is not found. Nodes of one machine share a
    folder, and a file is listed once."""
    content = os.urandom(LONG_BYTES)
    first = recorded(tmp_path / "first", OLD, b"old")
    second = recorded(tmp_path / "second", NEW, content)
    async with (
        node(tmp_path / "a", "a", record_dir=str(first)) as a,
        node(tmp_path / "b", "b", record_dir=str(second)) as b,
        node(tmp_path / "c", "c", record_dir=str(second)) as c,
        running_gate([a, b, c]) as url,
        aiohttp.ClientSession(url) as http,
    ):
        async with http.get(LIST) as response:
            told = await response.json()
        assert told == {
            "recordings": [{"file": NEW, "bytes": LONG_BYTES}, {"file": OLD, "bytes": 3}]
        }
        async with http.get(f"{LIST}/{OLD}") as response:
            assert await response.read() == b"old"
        async with http.get(f"{LIST}/{NEW}") as response:
            assert int(response.headers["Content-Length"]) == LONG_BYTES
            assert "attachment" in response.headers["Content-Disposition"]
            assert await response.read() == content
        part = {"Range": "bytes=100-199"}
        async with http.get(f"{LIST}/{NEW}", headers=part) as response:
            assert (response.status, await response.read()) == (206, content[100:200])
        async with http.get(f"{LIST}/20260103-000000.mp4") as response:
            assert response.status == 404


async def test_a_download_may_be_left(tmp_path: Path) -> None:
    """and the gate goes on."""
    folder = recorded(tmp_path / "folder", NEW, bytes(LONG_BYTES))
    async with (
        node(tmp_path / "a", "a", record_dir=str(folder)) as a,
        running_gate([a]) as url,
        aiohttp.ClientSession(url) as http,
    ):
        for _ in range(3):
            async with http.get(f"{LIST}/{NEW}") as response:
                assert await response.content.readexactly(10) == bytes(10)
        async with http.get(LIST) as response:
            assert response.status == 200


@pytest.mark.parametrize("path", [LIST, f"{LIST}/{NEW}", "/api/v1/streams"])
async def test_no_node_is_asked_for_a_stranger(tmp_path: Path, path: str) -> None:
    """where each would have to answer."""
    async with running_gate([], token=TOKEN) as url, aiohttp.ClientSession(url) as http:
        async with http.get(path) as response:
            assert response.status == 401
        own = {"Authorization": f"Bearer {TOKEN}"}
        async with http.get(path, headers=own) as response:
            assert response.status == 503  # nobody is there who could be asked
