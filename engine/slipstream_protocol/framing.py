"""Messages in a stream of bytes: a length, then MessagePack. Pure.

Each message is a little-endian uint32 length and that many bytes of MessagePack. File descriptors
ride along beside the bytes; they are handed out in the order in which they came.
"""

import os
import struct
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

MESSAGE_MAX_BYTES = 1 << 20

_LENGTH = struct.Struct("<I")

Incoming = TypeVar("Incoming")


class ChannelError(Exception):
    """What arrived is not a message of this protocol."""


def pack_message(message: msgspec.Struct) -> bytes:
    """The bytes of a message, its length included.

    Raises:
        ChannelError: if it is too long.
    """
    payload = msgspec.msgpack.encode(message)
    if len(payload) > MESSAGE_MAX_BYTES:
        raise ChannelError(
            f"{type(message).__name__} is {len(payload)} bytes, the most is {MESSAGE_MAX_BYTES}"
        )
    return _LENGTH.pack(len(payload)) + payload


class MessageParser(Generic[Incoming]):
    """Bytes and descriptors in, messages out.

    Args:
        incoming: the type, or union of types, of the messages.
    """

    def __init__(self, incoming: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(incoming)
        self._bytes = bytearray()
        self._descriptors: list[int] = []

    def feed(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Add what was read; the descriptors are owned from now on."""
        self._bytes += data
        self._descriptors += descriptors

    def next(self) -> Incoming | None:
        """The next whole message, or None until more bytes come.

        Raises:
            ChannelError: if the bytes cannot be a message.
        """
        if len(self._bytes) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._bytes)
        if length > MESSAGE_MAX_BYTES:
            raise ChannelError(f"message of {length} bytes announced, at most {MESSAGE_MAX_BYTES}")
        end = _LENGTH.size + length
        if len(self._bytes) < end:
            return None
        payload = bytes(self._bytes[_LENGTH.size : end])
        del self._bytes[:end]
        try:
            return self._decoder.decode(payload)  # type: ignore[no-any-return]  # typed by the caller
        except msgspec.MsgspecError as error:
            raise ChannelError(f"not a message of this protocol: {error}") from error

    def take_descriptors(self, count: int) -> list[int]:
        """The first descriptors that came, at most `count`; the caller owns them from now on."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken

    def close(self) -> None:
        """Close the descriptors that were not taken."""
        for descriptor in self.take_descriptors(len(self._descriptors)):
            os.close(descriptor)
