"""Reports of nodes, made up."""

from collections.abc import Sequence

import msgspec
from slipstream_protocol.parameters import Parameters, Prompt
from slipstream_server.control.events import StateName
from slipstream_server.http.health import Health
from slipstream_server.signaling.node_api import NodeReport, StreamReport


def health(*, status: str = "ok", ready: bool = True, version: str = "1") -> Health:
    return Health(
        status=status,
        version=version,
        uptime_s=1.0,
        ready=ready,
        engine_state="ready" if ready else "starting",
        engine_detail="" if ready else "loads its weights",
        engine_pid=1,
        engine_restarts=0,
        pipeline="echo",
        preset="none",
        sessions=0,
        viewers=0,
        held=0,
        waiting=0,
        max_streams=2,
        model=None,
        slo={},
    )


def stream(
    name: str, *, age_s: float = 1.0, state: StateName = "live", prompt: str = ""
) -> StreamReport:
    return StreamReport(
        stream=name,
        state=state,
        returns_video=True,
        age_s=age_s,
        viewers=0,
        parameters=Parameters(prompts=(Prompt(text=prompt, weight=1.0),)),
    )


def report(
    *names: str, free: int = 1, stops: bool = False, streams: Sequence[StreamReport] = ()
) -> NodeReport:
    """A node with streams of these names, and those streams."""
    described = health(status="stopping", ready=False) if stops else health()
    return NodeReport(
        health=msgspec.structs.replace(described, sessions=len(names) + len(streams)),
        free_streams=0 if stops else free,
        free_viewers=8,
        streams=(*(stream(name) for name in names), *streams),
    )
