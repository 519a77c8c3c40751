"""Which versions the doctor lets pass."""

import pytest
from slipstream_server.doctor import packages
from slipstream_server.doctor.finding import Verdict


@pytest.mark.parametrize(
    ("version", "allowed", "within"),
    [
        ("1.16.0", ">=1.16,<1.17", True),
        ("1.16.9.post1", ">=1.16,<1.17", True),
        ("1.17.0", ">=1.16,<1.17", False),
        ("1.15.9", ">=1.16,<1.17", False),
        ("1.9", ">=1.10", False),
        ("18", ">=16", True),
        ("2", "==2.0", True),
        ("2", "!=2.0", False),
        ("2.1", "<=2.0", False),
        ("3", ">2", True),
        ("2.1.0+cpu", ">=2.1", True),
        ("", ">=2", True),
        ("1.0", "", True),
        ("1.0", "~=1.0", True),
    ],
)
def test_versions_are_compared_by_number(version: str, allowed: str, within: bool) -> None:
    """10 is more than 9, and what cannot be read passes."""
    assert packages.is_within(version, allowed) is within


async def test_a_version_outside_its_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """with what to install instead."""
    monkeypatch.setattr(packages, "requirements", lambda: [("aiortc", ">=99,<100")])
    finding = await packages.check_packages()
    assert finding.verdict is Verdict.FAIL
    assert "(it must be >=99,<100)" in finding.found
    assert finding.advice == "pip install --force-reinstall 'aiortc>=99,<100'"


async def test_what_only_makes_it_faster_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_FASTER", "no-such-package")
    finding = await packages.check_packages()
    assert finding.verdict is Verdict.WARN
    assert "no no-such-package (ModuleNotFoundError" in finding.found
