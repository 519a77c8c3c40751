"""The filter of system calls, run by an interpreter of classic BPF as seccomp reads it."""

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.sandbox.syscall_filter import ARCHITECTURES, Architecture, network_filter

ALLOWED = 0
ARCHITECTURE_NAMES = st.sampled_from(sorted(ARCHITECTURES))


def decide(program: bytes, *, audit: int, number: int, first: int = 0) -> int:
    """The error that a call gets; 0 if it is allowed."""
    data = struct.pack("=IIQ6Q", number, audit, 0, first, 0, 0, 0, 0, 0)
    instructions = list(struct.iter_unpack("=HBBI", program))
    register, position = 0, 0
    while True:
        code, then, otherwise, operand = instructions[position]
        position += 1
        match code:
            case 0x20:
                (register,) = struct.unpack_from("=I", data, operand)
            case 0x15:
                position += then if register == operand else otherwise
            case 0x35:
                position += then if register >= operand else otherwise
            case 0x06:
                return ALLOWED if operand == 0x7FFF0000 else operand & 0xFFFF
            case _:
                raise AssertionError(f"seccomp knows no such instruction: {code:#x}")


def outcome(architecture: Architecture, number: int, first: int = 0) -> int:
    program = network_filter(architecture)
    return decide(program, audit=architecture.audit, number=number, first=first)


@given(ARCHITECTURE_NAMES, st.integers(0, 2**64 - 1))
def test_only_local_sockets_are_made(name: str, family: int) -> None:
    """of whatever family; the kernel reads the lower half of the argument, and so does the
    filter."""
    architecture = ARCHITECTURES[name]
    is_local = family & 0xFFFFFFFF == socket.AF_UNIX
    for number in (architecture.socket, architecture.socketpair):
        assert outcome(architecture, number, family) == (ALLOWED if is_local else errno.EACCES)


@given(ARCHITECTURE_NAMES, st.integers(0, 2**32 - 1))
def test_every_other_call_is_allowed(name: str, number: int) -> None:
    """a filter that refused more would break what torch and drivers do in some version."""
    architecture = ARCHITECTURES[name]
    sockets = (architecture.socket, architecture.socketpair)
    if number == architecture.connect:
        expected = errno.ECONNREFUSED
    elif number in architecture.refused.values() or number >= 0x40000000:
        expected = errno.EPERM
    else:
        expected = errno.EACCES if number in sockets else ALLOWED
    assert outcome(architecture, number) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_ways_around_are_refused(architecture: Architecture) -> None:
    """each by its number on this processor, and `connect` with what a daemon's absence gives."""
    assert outcome(architecture, architecture.connect) == errno.ECONNREFUSED
    for number in architecture.refused.values():
        assert outcome(architecture, number) == errno.EPERM


@given(ARCHITECTURE_NAMES, st.integers(0, 2**32 - 1), st.integers(0, 500))
def test_calls_of_another_architecture_are_refused(name: str, audit: int, number: int) -> None:
    """there the same numbers mean other calls."""
    architecture = ARCHITECTURES[name]
    if audit != architecture.audit:
        assert decide(network_filter(architecture), audit=audit, number=number) == errno.EPERM
