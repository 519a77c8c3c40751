"""A Hugging Face hub on loopback, with a dial: it may hang up in the middle of its first answer."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


class LocalHub:
    """Serves `root/OWNER/NAME/PATH` as the hub does; use as a context manager.

    Args:
        hang_up_at: bytes of the first download after which the connection breaks; None for never.
    """

    def __init__(self, root: Path, *, hang_up_at: int | None = None) -> None:
        self.root = root
        self.hang_up_at = hang_up_at
        self.ranges: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self, *, with_body: bool) -> None:
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/main/(.+)", self.path)
            file = hub.root / match[1] / match[2] if match else hub.root / "none"
            if not file.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = file.read_bytes()
            span = self.headers.get("Range")
            first = int(span.removeprefix("bytes=").partition("-")[0]) if span else 0
            self.send_response(206 if first else 200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - first))
            if first:
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}"
                )
            self.end_headers()
            if with_body:
                self._send(content, first)

        def _send(self, content: bytes, first: int) -> None:
            hub.ranges.append(self.headers.get("Range", ""))
            if hub.hang_up_at is None:
                self.wfile.write(content[first:])
                return
            self.wfile.write(content[first : hub.hang_up_at])
            hub.hang_up_at = None
            self.close_connection = True

    return Handler
