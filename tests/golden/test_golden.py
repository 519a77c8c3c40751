"""Our numbers are the reference's, on the vectors beside this file and on those of $GOLDEN_DIR."""

import os
from pathlib import Path

import pytest

from tests.golden.case import Case
from tests.golden.families import cases, run

VECTORS = Path(__file__).parent / "vectors"
DIRECTORIES = [VECTORS, *([Path(d)] if (d := os.environ.get("GOLDEN_DIR")) else [])]


@pytest.mark.parametrize(
    "case", [case for directory in DIRECTORIES for case in cases(directory)], ids=lambda c: c.name
)
def test_case_is_reproduced(case: Case) -> None:
    """Every tensor of a case is within its tolerance, or left out by name with a reason."""
    verdict = run(case)
    assert verdict.is_pass, str(verdict)
