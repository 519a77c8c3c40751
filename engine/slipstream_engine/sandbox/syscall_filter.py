"""The system calls that the engine is refused, as a program for seccomp. Pure.

A program of classic BPF reads the call's number and its first argument (`struct seccomp_data` of
linux/seccomp.h) and returns what becomes of it. Refused are sockets other than AF_UNIX, `connect`
(which says that nobody listens, as for a daemon that does not run), unless the process has a
network namespace of its own with nothing but a loopback in it, and the ways around both: rings
that make calls themselves, another process' memory and descriptors, other namespaces, file handles.
Calls of another architecture than the process' own are refused as a whole, as their numbers differ.
"""

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF opcodes
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_AF_UNIX = 1
_OF_LOOPBACK = (2, 10, 16)  # AF_INET, AF_INET6, and AF_NETLINK by which interfaces are listed
_X32_CALLS = 0x40000000  # x86-64 has a second table of the same calls from here on


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A processor's number in linux/audit.h, and its numbers of the calls concerned."""

    audit: int
    socket: int
    socketpair: int
    connect: int
    seccomp: int
    capset: int
    refused: Mapping[str, int]


ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(
        audit=0xC000003E,
        socket=41,
        socketpair=53,
        connect=42,
        seccomp=317,
        capset=126,
        refused={
            "io_uring_setup": 425,
            "ptrace": 101,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "pidfd_getfd": 438,
            "setns": 308,
            "unshare": 272,
            "open_by_handle_at": 304,
            "bpf": 321,
            "perf_event_open": 298,
            "userfaultfd": 323,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
        },
    ),
    "aarch64": Architecture(
        audit=0xC00000B7,
        socket=198,
        socketpair=199,
        connect=203,
        seccomp=277,
        capset=91,
        refused={
            "io_uring_setup": 425,
            "ptrace": 117,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "pidfd_getfd": 438,
            "setns": 268,
            "unshare": 97,
            "open_by_handle_at": 265,
            "bpf": 280,
            "perf_event_open": 241,
            "userfaultfd": 282,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
        },
    ),
}
"""By `os.uname().machine`."""


@dataclass(frozen=True, slots=True)
class _Instruction:
    """One instruction; a jump names the label that it goes to, or goes on."""

    code: int
    operand: int
    then: str = ""
    otherwise: str = ""


def network_filter(architecture: Architecture, *, has_own_loopback: bool = False) -> bytes:
    """The program: an array of `struct sock_filter`.

    Args:
        has_own_loopback: let the network pass, for it is the process' own and ends there.
    """
    numbers = sorted(architecture.refused.values())
    families = (_AF_UNIX, *_OF_LOOPBACK) if has_own_loopback else (_AF_UNIX,)
    connects = "allow" if has_own_loopback else "nobody"
    blocks: dict[str, Sequence[_Instruction]] = {
        "start": (
            _Instruction(_LOAD, _ARCHITECTURE),
            _Instruction(_IF_EQUAL, architecture.audit, otherwise="refuse"),
            _Instruction(_LOAD, _NUMBER),
            _Instruction(_IF_AT_LEAST, _X32_CALLS, then="refuse"),
            _Instruction(_IF_EQUAL, architecture.socket, then="family"),
            _Instruction(_IF_EQUAL, architecture.socketpair, then="family"),
            _Instruction(_IF_EQUAL, architecture.connect, then=connects),
            *(_Instruction(_IF_EQUAL, number, then="refuse") for number in numbers),
        ),
        "allow": (_Instruction(_RETURN, _ALLOW),),
        "family": (
            _Instruction(_LOAD, _FIRST_ARGUMENT),
            *(_Instruction(_IF_EQUAL, family, then="allow family") for family in families),
            _Instruction(_RETURN, _ERRNO | errno.EACCES),
        ),
        "allow family": (_Instruction(_RETURN, _ALLOW),),
        "refuse": (_Instruction(_RETURN, _ERRNO | errno.EPERM),),
        "nobody": (_Instruction(_RETURN, _ERRNO | errno.ECONNREFUSED),),
    }
    return _assemble(blocks)


def _assemble(blocks: Mapping[str, Sequence[_Instruction]]) -> bytes:
    """The blocks one after the other; jumps are counted from the instruction after them."""
    positions, total = {}, 0
    for label, block in blocks.items():
        positions[label] = total
        total += len(block)
    packed = b""
    for index, one in enumerate(each for block in blocks.values() for each in block):
        jumps = (
            positions[label] - index - 1 if label else 0 for label in (one.then, one.otherwise)
        )
        packed += struct.pack("=HBBI", one.code, *jumps, one.operand)
    return packed
