"""The flows of messages between ranks: each keeps its order, and none waits for another. Pure."""

from enum import IntEnum


class MessageFlow(IntEnum):
    """What a message belongs to; between two ranks each flow has a link of its own.

    A chunk is decoded while other chunks are denoised, so frames that are ready must not queue up
    behind activations that are still to be computed.
    """

    ENCODE = 0  # frames from the host, latents of a chunk that begins
    STEPS = 1  # activations, latents between two steps, rows of caches, weights
    DECODE = 2  # frames to the host
