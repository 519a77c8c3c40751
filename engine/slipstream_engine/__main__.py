"""The engine's command line: `slipstream-engine COMMAND`. Servers use `serve` only."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from slipstream_engine.cli.confinement import add_sandbox
from slipstream_engine.cli.serve import add_serve
from slipstream_engine.errors import MissingExtraError
from slipstream_engine.optional_packages import require_model_packages

_WITHOUT_TORCH = ("serve", "sandbox")  # an echo engine starts without it


def add_tools(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands that import torch."""
    from slipstream_engine.account.command import add_account
    from slipstream_engine.bench.command import add_bench
    from slipstream_engine.cli.inspect import add_inspect
    from slipstream_engine.cli.plan import add_plan
    from slipstream_engine.cli.rank import add_rank
    from slipstream_engine.offline.v2v import add_v2v
    from slipstream_engine.simulation.command import add_simulate
    from slipstream_engine.train.command import add_train_tiny
    from slipstream_engine.weights.download import add_pull

    add_account(commands)
    add_bench(commands)
    add_inspect(commands)
    add_rank(commands)
    add_plan(commands)
    add_pull(commands)
    add_simulate(commands)
    add_train_tiny(commands)
    add_v2v(commands)


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    # a pool of threads that spins for work starves all else on a machine with few cores, yet trains
    # 1.3 times as fast; this must be set before torch is loaded
    if list(words[:1]) != ["train-tiny"]:
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
    parser = argparse.ArgumentParser(prog="slipstream-engine", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_serve(commands)
    add_sandbox(commands)
    is_tool = not words or words[0] not in _WITHOUT_TORCH
    if is_tool:
        try:
            require_model_packages()
        except MissingExtraError as error:
            print(f"slipstream-engine: {error}", file=sys.stderr)
            return 1
        add_tools(commands)
    arguments = parser.parse_args(words)
    logging.basicConfig(
        level=os.environ.get("SLIPSTREAM_LOG", "INFO"),
        format="%(asctime)s engine %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    with _exit_on_sigterm() if is_tool else nullcontext():
        result: int = arguments.run(arguments)
    return result


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the main thread, so that half-written files are deleted."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
