"""What a process that confines itself reports, and what it must still be able to do."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from slipstream_engine.sandbox.confinement import Confinement, Measure

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the measures are Linux's")


def confined(
    script: str, *, before: str = "", needs_loopback: bool = False, **environment: str
) -> str:
    """What a script prints that runs in a confined process."""
    start = "from slipstream_engine.sandbox.confinement import confine\n"
    call = f"confine({needs_loopback=})"
    ran = subprocess.run(
        [sys.executable, "-c", f"{before}\n{start}confinement = {call}\n{script}"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_what_holds_and_what_does_not_is_one_line() -> None:
    confinement = Confinement(
        held={Measure.CALLS: "", Measure.LANDLOCK: "version 7"},
        missing={Measure.NETWORK: "Operation not permitted"},
    )
    assert str(confinement) == (
        "confined: seccomp, Landlock (version 7); not possible here: "
        "an empty network namespace (Operation not permitted)"
    )
    assert str(Confinement()) == "confined: not at all"


@linux_only
def test_a_process_with_threads_is_not_half_confined() -> None:
    """namespaces are a thread's: the others would keep the network, so it is said to be missing."""
    before = (
        "import threading; stop = threading.Event(); "
        "threading.Thread(target=stop.wait, daemon=True).start()"
    )
    said = confined("print(confinement)", before=before)
    assert "an empty network namespace (this process has other threads" in said


@linux_only
def test_a_kernel_that_allows_nothing_lets_the_engine_run() -> None:
    """every measure that is refused is named, with what the system says."""
    before = (
        "from slipstream_engine.sandbox import system_calls\n"
        "def refuse(*_): raise PermissionError(1, 'Operation not permitted')\n"
        "system_calls._checked = refuse"
    )
    said = confined("print(*confinement.missing, sep='|')", before=before)
    assert said.split("|") == [str(one) for one in Measure if one is not Measure.KILLED_FIRST]


@linux_only
def test_what_an_engine_needs_still_works(tmp_path: Path) -> None:
    """shared memory, threads, programs that compile, files moved between folders, a socket pair."""
    script = """
import os, socket, subprocess, sys, tempfile, threading
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.frames import Geometry
size = Geometry(width_px=16, height_px=8, first_chunk_frames=5, chunk_frames=4)
Arena.create(Layout(geometry=size, lanes=1, in_slots=1, out_slots=1)).close()
thread = threading.Thread(target=lambda: subprocess.run(["true"], check=True))
thread.start(), thread.join()
one, two = tempfile.mkdtemp(), tempfile.mkdtemp()
open(one + "/file", "w").close()
os.replace(one + "/file", two + "/file")
socket.socketpair()[0].close()
print(os.path.exists(two + "/file"), subprocess.check_output(["id", "-u"], text=True).strip())
"""
    assert confined(script, TMPDIR=str(tmp_path)) == f"True {os.geteuid()}"


@linux_only
def test_ranks_get_a_loopback_of_their_own() -> None:
    """they reach each other by it, and nothing that listens on this machine.

    Where the kernel gives no network namespace, the report names what is left out.
    """
    script = """
import errno, os, socket
from slipstream_engine.sandbox.confinement import Measure
if Measure.NETWORK in confinement.held:
    own = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(own.getsockname(), timeout=5)
    number = socket.socket().connect_ex(("127.0.0.1", int(os.environ["OUTSIDE"])))
    print(errno.errorcode[number], Measure.CALLS in confinement.held)
else:
    print("ECONNREFUSED", Measure.CALLS in confinement.missing)
"""
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        said = confined(script, needs_loopback=True, OUTSIDE=str(port))
    assert said == "ECONNREFUSED True"
