"""Whose lines are whose in the log of many calls."""

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from slipstream_server.logs.set_up import LogHandler
from slipstream_server.sessions.opener import session_id


@contextmanager
def logger_to(descriptor: int) -> Iterator[logging.Logger]:
    handler = LogHandler(descriptor, "json", session_id.get)
    logger = logging.getLogger("slipstream_server.tests.set_up")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        handler.writer.close(deadline_s=5)


def test_each_line_names_the_call_on_whose_behalf_it_is() -> None:
    """also those of calls whose tasks take turns, and of what is no call's."""
    reader, writer = os.pipe()

    async def call(name: str, logger: logging.Logger) -> None:
        session_id.set(name)
        for number in range(3):
            logger.info("line %d of %s", number, name)
            await asyncio.sleep(0)

    async def calls(logger: logging.Logger) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call("one", logger))
            group.create_task(call("two", logger))
        logger.info("line of -")

    with logger_to(writer) as logger:
        asyncio.run(calls(logger))
    os.close(writer)
    with open(reader) as lines:
        written = [json.loads(line) for line in lines]
    assert len(written) == 7
    for line in written:
        assert line["message"].endswith(f"of {line['session']}")
