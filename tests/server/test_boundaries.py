"""The server stays small: what its import brings along."""

import subprocess
import sys


def test_the_server_brings_no_torch_and_no_engine() -> None:
    """in a fresh interpreter, importing all of it loads neither."""
    script = (
        "import pkgutil, importlib, sys, slipstream_server as s\n"
        "for module in pkgutil.walk_packages(s.__path__, s.__name__ + '.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "bad = [n for n in sys.modules if n.split('.')[0] in ('torch', 'slipstream_engine')]\n"
        "sys.exit(repr(bad) if bad else 0)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_importing_the_entry_starts_nothing() -> None:
    """the command's module may be imported without effect."""
    script = (
        "import slipstream_server.__main__, slipstream_server.serve, threading\n"
        "print(threading.active_count())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.strip() == "1", ran.stderr
