"""Attacks run against a server whose event loop is watched as in all of the server's tests."""

from tests.server.conftest import blocking_calls

__all__ = ["blocking_calls"]
