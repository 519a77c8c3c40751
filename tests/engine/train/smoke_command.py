"""The training command, in small."""

import argparse

from slipstream_engine.train.command import add_train_tiny


def train(*arguments: str) -> int:
    """Run `train-tiny --smoke` with more arguments; its exit code."""
    parser = argparse.ArgumentParser()
    add_train_tiny(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["train-tiny", "--smoke", *arguments])
    result: int = parsed.run(parsed)
    return result
