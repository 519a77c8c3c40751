"""Parameters of a published stream: in the query, by HTTP, and as events to a page."""

from pathlib import Path

import pytest
from slipstream_protocol.parameters import Parameters
from slipstream_server.control import parameter_channel

from tests.server.calls import Camera, dial
from tests.server.serving import poll, serving
from tests.server.whips import assert_error, error_of, publishing


async def test_the_first_parameters_stand_in_the_query(tmp_path: Path) -> None:
    """and a later change of them is a request with the stream's name."""
    path = "/whip/stage?prompt=dusk&seed=7&noise_scale=0.5&token=unused"
    async with serving(tmp_path) as server, publishing(server, path=path):
        address = "/api/v1/streams/stage/parameters"
        async with server.client.get(address) as response:
            parameters = await response.json()
        assert parameters["prompts"] == [{"text": "dusk", "weight": 1.0}]
        assert (parameters["seed"], parameters["noise_scale"]) == (7, 0.5)
        async with server.client.patch(address, json={"prompt": "dawn", "rev": 3}) as response:
            assert response.status == 200
            answer = await response.json()
            assert (answer["type"], answer["rev"]) == ("applied", 3)
        async with server.client.get(address) as response:
            assert (await response.json())["prompts"][0]["text"] == "dawn"
        (stream,) = server.sessions.streams()
        await poll(lambda: stream.figures is not None)
        async with server.client.get("/api/v1/streams") as response:
            (entry,) = (await response.json())["streams"]
        levels = {"ttff", "age", "miss", "rate"}
        assert levels == entry.pop("holds").keys() == entry["budgets"].keys()
        assert entry.pop("budgets")["ttff"]["total"] <= 1
        assert entry.pop("since_s") > 0
        assert entry == {"stream": "stage", "state": "live", "published": True, "viewers": 0}


async def test_an_owner_sees_what_others_change(tmp_path: Path) -> None:
    """the page is sent the new parameters, and no events about numbers that are not its own."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as owner:
        await owner.until_event("state", state="live")
        address = f"/api/v1/streams/{owner.stream}/parameters"
        async with server.client.patch(address, json={"prompt": "dawn", "rev": 9}) as response:
            assert response.status == 200
        updated = await owner.until_event("parameters_updated")
        assert updated["parameters"]["prompts"][0]["text"] == "dawn"
        owner.send({"seed": 5, "rev": 1})
        await owner.until_event("on_air", rev=1)
        assert not [event for event in owner.events if event.get("rev") == 9]


async def test_bad_parameters_are_refused_with_the_reason(tmp_path: Path) -> None:
    """by the same rules as on the data channel, and also what the engine itself refuses."""
    async with (
        serving(tmp_path, pipeline="diffusion", size="64x64", threads=1) as server,
        publishing(server),
    ):
        address = "/api/v1/streams/stage/parameters"
        for body, status, reason in (
            (b'{"noise_scale": 7}', 400, "noise_scale is 7: Expected `float` <= 1.0"),
            (b'{"colour": "red"}', 400, "key 'colour' is unknown; the keys are prompts"),
            (b'{"type": "ping", "t": 1}', 400, "the body has a type"),
            (b"{", 400, "the message is not JSON"),
            (b"\xff", 400, "can't decode byte"),
            (b"{}", 422, "the update names no parameter"),
            (b'{"noise_scale": 0.0}', 422, "noise_scale"),
        ):
            assert_error(await error_of(server, "PATCH", address, body), status, reason)
        nowhere = await error_of(server, "PATCH", "/api/v1/streams/none/parameters", b"{}")
        assert_error(nowhere, 404, "stream 'none' is unknown")


async def test_a_flood_of_updates_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """with 429, once the stream has taken as many as it takes."""
    monkeypatch.setattr(parameter_channel, "MESSAGES_PER_S", 0.001)
    async with serving(tmp_path) as server, publishing(server):
        (stream,) = server.sessions.streams()
        address = "/api/v1/streams/stage/parameters"
        body = b'{"seed": 1}'
        while stream.update(Parameters(seed=1), lambda event: None):
            continue
        assert_error(await error_of(server, "PATCH", address, body), 429, "gets more updates than")
