"""Answers that the gate makes itself: errors as a server gives them, and a page for no page."""

import html
import math

import msgspec
from slipstream_server.errors import (
    Queued,
    RequestError,
    SlipstreamError,
    Unauthorized,
    Unavailable,
)
from slipstream_server.signaling.webrtc_api import QueuedAnswer

from slipstream_fleet.node_client import HttpAnswer

JSON_HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_RELOAD_S = 3


def error_answer(error: SlipstreamError) -> HttpAnswer:
    """The error as `{"error": reason}`, as a server answers it."""
    body: object = {"error": str(error)}
    if isinstance(error, Queued):
        body = QueuedAnswer(
            error=str(error), place=error.place, waiting=error.waiting, ticket=error.ticket
        )
    headers = list(JSON_HEADERS)
    if isinstance(error, Unauthorized):
        headers.append(("WWW-Authenticate", "Bearer"))
    if isinstance(error, Unavailable):
        headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after_s)))))
    status = error.status if isinstance(error, RequestError | Unavailable) else 500
    return HttpAnswer(status=status, headers=headers, body=msgspec.json.encode(body))


def no_page_yet(reason: str) -> HttpAnswer:
    """A page for people while no node can give the real one; it loads itself again."""
    text = (
        '<!doctype html><meta charset="utf-8"><title>Slipstream</title>'
        "<p>Slipstream is being started: no machine of the fleet answers yet "
        f"({html.escape(reason)}). This page looks again by itself."
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("Refresh", str(_RELOAD_S)),
        ("Retry-After", str(_RELOAD_S)),
    )
    return HttpAnswer(status=503, headers=headers, body=text.encode())
