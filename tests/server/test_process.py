"""The server's process gives back what calls have used."""

import platform
import subprocess
import sys
import textwrap

import pytest

_GLIBC = platform.libc_ver()[0] == "glibc"


def run_in_process(work: str) -> str:
    """What the body of a coroutine prints, that `run_process` runs in a new interpreter."""
    program = (
        textwrap.dedent(
            """
            import ctypes, gc, os, threading, weakref
            from slipstream_server.process import collect_calls_alone, run_process

            async def work():
            """
        )
        + textwrap.indent(textwrap.dedent(work), "    ")
        + "\nrun_process(work())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_call_that_has_ended_is_collected_before_the_ninth_one_after_it() -> None:
    """The objects of a call, a cycle, are gone once some others have come and gone, also from the
    old generation, where those of a long call are."""
    kept = run_in_process(
        """
        collect_calls_alone()
        class Node:
            pass

        ended = Node()
        ended.itself = [ended]
        gc.collect()  # what lives is in the old generation now
        alive = weakref.ref(ended)
        del ended
        others = [[[] for _ in range(2000)] for _ in range(8)]
        print(alive() is not None)
        """
    )
    assert kept == "False"


def test_the_collector_leaves_out_what_was_there_at_the_start() -> None:
    """A collection looks at calls and not at modules: these are frozen."""
    tracked, frozen = run_in_process(
        """
        collect_calls_alone()
        print(len(gc.get_objects()), gc.get_freeze_count())
        """
    ).split()
    assert int(tracked) * 50 < int(frozen)


@pytest.mark.skipif(not _GLIBC, reason="only glibc has arenas")
def test_threads_share_two_arenas() -> None:
    """However many threads allocate, memory that was freed is kept in two places at most."""
    arenas = run_in_process(
        """
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        together = threading.Barrier(6)

        def allocate():
            together.wait()
            for _ in range(100):
                libc.malloc(ctypes.c_size_t(100_000))

        threads = [threading.Thread(target=allocate) for _ in range(6)]
        [one.start() for one in threads]
        [one.join() for one in threads]
        libc.fdopen.restype = ctypes.c_void_p
        reader, writer = os.pipe()
        stream = libc.fdopen(writer, b"w")
        libc.malloc_info(0, ctypes.c_void_p(stream))
        libc.fclose(ctypes.c_void_p(stream))
        print(os.read(reader, 1 << 16).count(b"<heap nr"))
        """
    )
    assert 1 <= int(arenas) <= 2
