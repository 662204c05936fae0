"""A mirror on loopback that misbehaves on demand."""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest


@dataclass
class Mirror:
    """What a server on loopback serves, and how.

    ``faults`` maps a path to the faults of its next answers, one each: ``stall`` (half of it, then silence),
    ``cut`` (half of it, then the connection closes), ``no-range`` (the whole, whatever was asked for),
    ``wrong-range``, ``more`` (a byte too many), or a status such as ``404``. A last ``...`` repeats the one before.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    root: str = ""

    def fault(self, path: str) -> str | None:
        faults = self.faults.get(path, [])
        if len(faults) > 1 and faults[1] == "...":
            return faults[0]
        return faults.pop(0) if faults else None


def handler(mirror: Mirror) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            mirror.requests.append((self.path, asked))
            data, fault = mirror.files.get(self.path), mirror.fault(self.path)
            if data is None:
                fault = fault or "404"
            if fault is not None and fault.isdigit():
                if fault in ("301", "302"):
                    self.send_response(int(fault))
                    self.send_header("Location", data.decode() if data else "/")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self.send_error(int(fault))
                return
            assert data is not None
            start = 0
            match = re.fullmatch(r"bytes=(\d+)-", asked or "")
            if match and fault != "no-range":
                start = int(match[1])
                if start >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206)
                first = start + (fault == "wrong-range")
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            body = data[start:] + (b"x" if fault == "more" else b"")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault in ("stall", "cut"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                if fault == "stall":
                    time.sleep(0.6)
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror on loopback, asked without any proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    found = Mirror()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    found.root = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
