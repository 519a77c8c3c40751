"""workers/status_requests.py: who waits for which answer."""

import asyncio

import pytest
from slipstream_server.errors import Unavailable
from slipstream_server.workers import status_requests
from slipstream_server.workers.protocol import StatusRequest
from slipstream_server.workers.status_requests import StatusRequests


async def test_each_waits_for_its_own_answer() -> None:
    """a request that nobody waits for, and the first status, which answers none, change nothing."""
    sent: list[StatusRequest] = []
    requests = StatusRequests("media worker 0", sent.append)
    requests.on_answer(0)
    assert requests.all_answered
    assert requests.request() == 1
    assert not requests.all_answered
    first, second = (asyncio.create_task(requests.answer()) for _ in range(2))
    await asyncio.sleep(0)
    assert [request.number for request in sent] == [1, 2, 3]
    requests.on_answer(1)
    await asyncio.sleep(0)
    assert not first.done()
    requests.on_answer(2)
    await first
    assert not second.done()
    requests.on_answer(3)
    await second
    assert requests.all_answered


async def test_no_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """whether the worker is silent or its process ends; a late answer harms nobody."""
    monkeypatch.setattr(status_requests, "STATUS_TIMEOUT_S", 0.01)
    requests = StatusRequests("media worker 0", lambda request: None)
    with pytest.raises(Unavailable, match=r"media worker 0 has not answered within 0\.01 s"):
        await requests.answer()
    requests.on_answer(1)
    waiting = asyncio.create_task(requests.answer())
    await asyncio.sleep(0)
    requests.on_end()
    with pytest.raises(Unavailable, match="media worker 0 has just ended"):
        await waiting
