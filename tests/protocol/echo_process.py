"""The far side of the channel tests: a real process that inverts every chunk it is sent.

Run as `python echo_process.py FD`. A dial on the command line makes it die at a given chunk.
"""

import os
import signal
import socket
import sys

import numpy as np
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import ChannelClosed, engine_end
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import Geometry
from slipstream_protocol.messages import (
    ChunkIn,
    ChunkOut,
    Ready,
    SlotFree,
    SlotRead,
    StageTimes,
    Vocabulary,
)
from slipstream_protocol.parameters import Parameters

LAYOUT = Layout(
    geometry=Geometry(width_px=64, height_px=32, first_chunk_frames=5, chunk_frames=4),
    lanes=2,
    in_slots=2,
    out_slots=2,
)


def main(descriptor: int, die_at: int) -> None:
    channel = engine_end(socket.socket(fileno=descriptor))
    arena = Arena.create(LAYOUT)
    ready = Ready(
        pipeline="inverter",
        preset="none",
        geometry=LAYOUT.geometry,
        lanes=LAYOUT.lanes,
        in_slots=LAYOUT.in_slots,
        out_slots=LAYOUT.out_slots,
        defaults=Parameters(),
        step_list=(1000,),
        noise_scale_range=(0.0, 1.0),
        vocabulary=Vocabulary(),
        note="",
    )
    channel.send(ready, [arena.descriptor])
    free = {lane: list(range(LAYOUT.out_slots)) for lane in range(LAYOUT.lanes)}
    waiting: list[ChunkIn] = []
    while True:
        try:
            message = channel.receive()
        except ChannelClosed:
            return
        match message:
            case ChunkIn():
                if message.chunk == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                waiting.append(message)
            case SlotRead(lane=lane, slot=slot):
                free[lane].append(slot)
        for chunk in [chunk for chunk in waiting if free[chunk.lane]]:
            if not free[chunk.lane]:
                continue
            waiting.remove(chunk)
            slot = free[chunk.lane].pop(0)
            out = arena.output(chunk.lane, slot)
            np.subtract(255, arena.input(chunk.lane, chunk.slot), out=out)
            channel.send(SlotFree(lane=chunk.lane, slot=chunk.slot))
            channel.send(
                ChunkOut(
                    lane=chunk.lane,
                    slot=slot,
                    chunk=chunk.chunk,
                    frames=chunk.frames,
                    rev=-1,
                    taken_ns=chunk.submitted_ns,
                    made_ns=now_ns(),
                    stages=StageTimes(),
                    size=chunk.size,
                )
            )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
