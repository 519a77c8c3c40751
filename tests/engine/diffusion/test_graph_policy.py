"""Where graphs can be had, and what happens where one cannot."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from slipstream_engine.config import Compilation
from slipstream_engine.diffusion.cuda_graphs import GraphPolicy, GraphRunner, Recording
from slipstream_protocol.parameters import Parameters
from torch import Tensor

from tests.engine import tape
from tests.engine.diffusion.graphed_streams import (
    SteadyCodec,
    assert_equal,
    run,
    toy_pipeline,
)
from tests.engine.toys import (
    CPU,
)


def test_a_result_is_the_callers_own() -> None:
    """The next replay does not reach into the last one's result; inputs are copied in."""
    policy = GraphPolicy(Compilation.GRAPH, CPU, recorder=tape.record)
    runner = GraphRunner(policy)
    generated = [runner.run("double", lambda x: x * 2, torch.tensor([float(n)])) for n in range(4)]
    assert torch.cat(generated).tolist() == [0, 2, 4, 6]
    assert runner.recorded == {"double"}


def test_what_cannot_be_recorded_runs_eagerly(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal costs nothing but the graph: it is said once, and no chunk is lost or changed."""

    refused = []

    def refuse(function: Callable[[], Tensor]) -> Recording:
        refused.append(tape.record(function))
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    pipeline = toy_pipeline(Compilation.GRAPH, recorder=refuse)
    stream, other = pipeline.open(Parameters()), pipeline.open(Parameters())
    eager = run(toy_pipeline(Compilation.NONE).open(Parameters()), range(8))
    assert_equal(run(stream, range(8)), eager)
    assert_equal(run(other, range(8)), eager)
    reason = "RuntimeError: operation not permitted when stream is capturing"
    names = "encode 4, decode 1, denoise 0, denoise 1"
    assert pipeline.note == f"a toy; CUDA graphs, not of {names}: {reason}"
    warnings = [record for record in caplog.records if record.getMessage().endswith(reason)]
    assert len(warnings) == 4
    assert len(refused) == 4 * 2, "on each lane once"


def test_one_refusal_costs_one_graph() -> None:
    """A shape that cannot be recorded runs eagerly; all others are recorded as before."""
    count = 0

    def refuse_the_second(function: Callable[[], Tensor]) -> Recording:
        nonlocal count
        count += 1
        if count == 2:
            raise RuntimeError("out of room")
        return tape.record(function)

    pipeline = toy_pipeline(Compilation.GRAPH, recorder=refuse_the_second)
    stream = pipeline.open(Parameters())
    eager = run(toy_pipeline(Compilation.NONE).open(Parameters()), range(10))
    assert_equal(run(stream, range(10)), eager)
    assert pipeline.note.endswith("CUDA graphs, not of decode 1: RuntimeError: out of room")
    steps = {("denoise", row) for row in range(2)}
    assert stream.state.runner.recorded == {("encode", 4), *steps}


def test_without_a_gpu_there_are_no_graphs(caplog: pytest.LogCaptureFixture) -> None:
    """On the CPU the switch is answered with the reason, and everything runs."""
    pipeline = toy_pipeline(Compilation.GRAPH, recorder=None)
    assert pipeline.note == (
        "a toy; eager, not graph: RuntimeError: device is cpu, CUDA graphs need cuda"
    )
    pipeline.warm_up()
    assert_equal(
        run(pipeline.open(Parameters()), range(8)),
        run(toy_pipeline(Compilation.NONE).open(Parameters()), range(8)),
    )
    assert "device is cpu" in caplog.text
    assert toy_pipeline(Compilation.NONE).note == "a toy"


def test_graphs_that_cannot_be_had_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """What is thrown while warming up with graphs is logged, and the eager model serves."""

    class Fragile(SteadyCodec):
        is_eager = False

        def encode(self, rgb_TCHW: Tensor, state: Any) -> Tensor:
            if not self.is_eager:
                self.is_eager = True
                raise RuntimeError("no driver")
            return super().encode(rgb_TCHW, state)

    pipeline = toy_pipeline(Compilation.GRAPH, codec=Fragile())
    assert pipeline.note == "a toy; CUDA graphs"
    pipeline.warm_up()
    assert not pipeline.records_graphs
    assert pipeline.note == "a toy; eager, not graph: RuntimeError: no driver"
    assert "Traceback" in caplog.text
