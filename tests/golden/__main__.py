"""`python -m tests.golden [DIR]`: replay a directory of golden vectors, one line a case."""

import os
import sys
from pathlib import Path

from tests.golden.families import cases, run

VECTORS = Path(__file__).parent / "vectors"


def main(arguments: list[str]) -> int:
    """Replay DIR, else $GOLDEN_DIR, else the vectors beside this file; 1 if any case fails."""
    directory = Path(arguments[0] if arguments else os.environ.get("GOLDEN_DIR") or VECTORS)
    print(f"{'case':36} error/atol")
    failed = 0
    for case in cases(directory):
        verdict = run(case)
        print(verdict, flush=True)
        failed += not verdict.is_pass
    print(f"{failed} failed" if failed else "all pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
