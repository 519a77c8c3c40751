"""Calls to the Linux kernel that Python's library lacks; each raises OSError where it is refused.

Sources: the manual pages prctl(2), seccomp(2), landlock(7), capabilities(7), user_namespaces(7).
"""

import ctypes
import fcntl
import os
import socket
import struct

from slipstream_engine.sandbox.syscall_filter import Architecture, network_filter

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET
READ_ANY_FILE = 1 << 2  # CAP_DAC_READ_SEARCH

_SET_NO_NEW_PRIVILEGES = 38
_SET_INTERFACE_FLAGS, _INTERFACE_UP = 0x8914, 1 << 0
_SET_FILTER, _FILTER_KEEPS_SPECULATION = 1, 1 << 2  # without the flag the process slows down
_CAPABILITIES_V3 = 0x20080522
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446  # everywhere the same
_LANDLOCK_VERSION, _LANDLOCK_BENEATH = 1, 1
_MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices
_MOVE_FILES = 1 << 13  # between folders; refused by every ruleset that does not allow it
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1
_LANDLOCK_MOVES, _LANDLOCK_TCP, _LANDLOCK_SCOPES = 2, 4, 6  # versions that brought these


class _Program(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def unshare(flags: int) -> None:
    """Give this process new namespaces; it must have one thread."""
    _checked(_libc().unshare(flags))


def set_no_new_privileges() -> None:
    """No program that this process runs gets rights that it lacks. Cannot be undone."""
    _checked(_libc().prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def keep_capabilities(mask: int, architecture: Architecture) -> int:
    """Give up every capability but those of `mask` that this process has; returns these."""
    kept = [int(field, 16) & mask for field in _status("CapEff", "CapPrm")]
    header = struct.pack("=Ii", _CAPABILITIES_V3, 0)
    data = struct.pack("=6I", *kept, 0, 0, 0, 0)
    _call(architecture.capset, header, data)
    return kept[0]


def raise_loopback() -> None:
    """Bring the loopback of this process' network namespace up; see netdevice(7)."""
    request = struct.pack("16sh22x", b"lo", _INTERFACE_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SET_INTERFACE_FLAGS, request)


def filter_calls(architecture: Architecture, *, has_own_loopback: bool = False) -> None:
    """Have the kernel refuse the calls of `network_filter`, in this process and its children."""
    instructions = network_filter(architecture, has_own_loopback=has_own_loopback)
    program = _Program(len(instructions) // 8, instructions)
    try:
        _call(architecture.seccomp, _SET_FILTER, _FILTER_KEEPS_SPECULATION, ctypes.byref(program))
    except OSError:  # a kernel that does not know the flag
        _call(architecture.seccomp, _SET_FILTER, 0, ctypes.byref(program))


def restrict_with_landlock(*, allows_tcp: bool = False) -> int:
    """Refuse TCP, other processes' abstract sockets, memory and signals, as far as this kernel can.

    Args:
        allows_tcp: leave TCP alone.

    Returns:
        the version of Landlock's interface.
    """
    version = _call(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    if version < _LANDLOCK_MOVES:
        raise OSError(f"Landlock has version {version}, which would refuse to move files")
    handled = [_MAKE_DEVICES | _MOVE_FILES]
    if version >= _LANDLOCK_TCP:
        handled.append(0 if allows_tcp else _BIND_TCP | _CONNECT_TCP)
    if version >= _LANDLOCK_SCOPES:
        handled.append(_SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    ruleset = _call(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = struct.pack("=Qi", _MOVE_FILES, root)
        _call(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_BENEATH, beneath, 0)
        _call(_LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(root)
        os.close(ruleset)
    return version


def _status(*names: str) -> list[str]:
    """Fields of /proc/self/status."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        fields = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    return [fields[name].strip() for name in names]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    """A call by its number; integers are passed as the kernel's `long`."""
    passed = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    syscall = _libc().syscall
    syscall.restype = ctypes.c_long
    return _checked(syscall(ctypes.c_long(number), *passed))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
