"""Small errors in the pure parts, one at a time: which of them does no test notice?

    python -m tests.mutants --per-file 6 --seed 0 [--only scheduling]

A mutant turns a comparison, an operator, a condition or a number into its neighbour. It is made in
a copy of the sources, and only the tests of its file run, with few examples of each property. Who
lives is printed: it needs a test, or a reason in CONTRIBUTING.md.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_BASE_S, _SLOWER = 10.0, 4  # a mutant that takes so much longer than none does not end: noticed
_SCHEDULING = "tests/engine/scheduling/test_"
# each file's tests; a folder where several hold it
TARGETS: Mapping[str, tuple[str, ...]] = {
    "server/slipstream_server/http/forwarded.py": ("tests/server/http/test_forwarded.py",),
    "server/slipstream_server/http/signed_tokens.py": ("tests/server/http/test_signed_tokens.py",),
    "server/slipstream_server/http/connection_table.py": (
        "tests/server/http/test_connection_table.py",
    ),
    "server/slipstream_server/streams/resume_tokens.py": (
        "tests/server/streams/test_resume_tokens.py",
    ),
    **{
        f"engine/slipstream_protocol/{name}.py": (f"tests/protocol/test_{tests}.py",)
        for name, tests in {
            "arena": "arena",
            "colours": "colours",
            "frames": "frames",
            "framing": "channel",
            "levels": "levels",
            "parameters": "parameters",
            "turnover": "turnover",
        }.items()
    },
    **{
        f"server/slipstream_server/{room}/{name}.py": (f"tests/server/{room}/test_{name}.py",)
        for room, names in {
            "frames": "chunker playout size_choice",
            "ice": "port_table remote_addresses stream_frames",
            "ladder": "belief chunk_meter device_share ladder moves promise",
            "receive": "capture_time frame_search jitter_buffer layers loss_feedback "
            "transport_feedback",
            "rtc": "sctp_costs",
            "rtp": "depacketize h264_units picture_size simulcast transport_report",
            "send": "bandwidth keyframes pacer playout_delay retransmit subscriber_queue",
            "sessions": "cpu_budget drain uplink_budget waiting_line",
        }.items()
        for name in names.split()
    },
    **{
        f"engine/slipstream_engine/scheduling/{name}.py": tuple(
            f"{_SCHEDULING}{one}.py" for one in tests.split()
        )
        for name, tests in {
            "backlog": "capacity scheduler batching ranks",
            "batching": "batching ranks",
            "capacity": "capacity",
            "deadline_check": "forecast deadlines batching",
            "flow_control": "flow_control",
            "input_credits": "input_credits flow_control",
            "latency_model": "latency_model",
            "promises": "promises ranks",
            "queues": "queues scheduler deadlines batching",
            "scheduler": "scheduler batching capacity deadlines",
        }.items()
    },
}
_COMPARED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A file with one error.

    Args:
        change: what is written there in place of what.
        source: all of the file.
    """

    line: int
    change: str
    source: str


def places(source: str) -> list[int]:
    """Which nodes of a file's syntax tree, in the order of `ast.walk`, have a mutant."""
    nodes = list(ast.walk(ast.parse(source)))
    decorated = (one for one in nodes if isinstance(one, ast.ClassDef | ast.FunctionDef))
    # whether a dataclass is frozen, or has slots, is mypy's to check
    decorators = {
        id(part) for one in decorated for own in one.decorator_list for part in ast.walk(own)
    }
    return [k for k, node in enumerate(nodes) if id(node) not in decorators and _mutate(node)]


def mutant_at(source: str, place: int) -> Mutant:
    """The mutant of a file at one of its `places`."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[place]
    assert isinstance(node, ast.expr | ast.stmt), "nothing else is mutated"
    before = ast.unparse(node)
    _mutate(node)
    change = f"{before}  ->  {ast.unparse(node)}"
    return Mutant(line=node.lineno, change=change, source=ast.unparse(tree))


def _mutate(node: ast.AST) -> bool:
    """Change a node in place; False if there is nothing to change."""
    match node:
        case ast.Compare(ops=[one, *_]) if type(one) in _COMPARED:
            node.ops[0] = _COMPARED[type(one)]()
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _COMPUTED:
            node.op = _COMPUTED[type(op)]()
        case ast.BoolOp(op=ast.And()):
            node.op = ast.Or()
        case ast.BoolOp(op=ast.Or()):
            node.op = ast.And()
        case ast.UnaryOp(op=ast.Not()):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=int(value) | float(value)):
            node.value = value + 1
        case ast.Call(func=ast.Name(id="min" | "max") as func):
            func.id = "max" if func.id == "min" else "min"
        case _:
            return False
    return True


class Copy:
    """A copy of the sources, where mutants are tried."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("server", "engine", "tests", "web", "docs", "pyproject.toml"):
            part = _ROOT / name
            if part.is_dir():
                shutil.copytree(part, folder / name)
            else:
                shutil.copy(part, folder)
        self._environment = os.environ | {
            "PYTHONPATH": f"{folder / 'server'}{os.pathsep}{folder / 'engine'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def passes(self, file: str, source: str, *, limit_s: float) -> bool:
        """Whether the tests of a file pass in time with this in it."""
        path = self._folder / file
        own = path.read_text()
        path.write_text(source)
        command = [*(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")]
        command += ["--hypothesis-profile", "mutants", *TARGETS[file]]
        try:
            ran = subprocess.run(
                command,
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=limit_s,
                check=False,
            )
            return ran.returncode == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            path.write_text(own)


def main() -> int:
    """Try them, and print who lives; 1 if a file's tests fail without any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-file", type=int, default=6, help="drawn at random (default: 6)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--only", default="", help="files with this in their path")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    tried = lived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for file in TARGETS:
            source = (_ROOT / file).read_text()
            all_places = places(source)
            drawn = chance.sample(all_places, min(arguments.per_file, len(all_places)))
            if arguments.only not in file:
                continue
            began_s = time.monotonic()
            if not copy.passes(file, ast.unparse(ast.parse(source)), limit_s=300):
                print(f"{file}: its tests fail as it is", flush=True)
                return 1
            limit_s = _BASE_S + _SLOWER * (time.monotonic() - began_s)
            for place in sorted(drawn):
                mutant = mutant_at(source, place)
                tried += 1
                if copy.passes(file, mutant.source, limit_s=limit_s):
                    lived += 1
                    print(f"{file}:{mutant.line}: {mutant.change}", flush=True)
            print(f"{file}: {len(drawn)} of {len(all_places)} tried", flush=True)
    print(f"{lived} of {tried} lived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
