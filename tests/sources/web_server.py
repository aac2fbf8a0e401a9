"""An HTTP server on this machine that serves, truncates, corrupts, stalls and refuses, as its path says."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Web:
    """Its files, by name; every request that came, as (behaviour, name, first byte asked for).

    ``url("truncate", "x")`` serves file ``x`` and breaks off after half of what was asked for.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, behaviour: str, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{behaviour}/{name}"

    def count(self, behaviour: str) -> int:
        return sum(made[0] == behaviour for made in self.requests)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def log_message(self, *_args):
        pass

    def do_GET(self):
        path, _, query = self.path.partition("?")
        behaviour, _, name = path.lstrip("/").partition("/")
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        self.web.requests.append((behaviour, name, first))
        turn = self.web.count(behaviour)
        if behaviour in {"404", "403", "503"}:
            self.refuse(int(behaviour))
        elif behaviour == "500-once" and turn == 1:
            self.refuse(500)
        elif name not in self.web.files or query.lower() not in {"", "blobs=true"}:  # as the hub is asked
            self.refuse(404)
        else:
            self.serve(behaviour, turn, self.web.files[name], first)

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve(self, behaviour, turn, content, first):
        if behaviour == "corrupt" or (behaviour == "corrupt-once" and turn == 1):
            content = content[:-1] + bytes([content[-1] ^ 1])
        if behaviour == "ignore-range":
            first = 0
        if first >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = (
            content[first : first + 50_000] if behaviour == "little-by-little" and first else content[first:]
        )
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        if behaviour == "gzip":
            self.send_header("Content-Encoding", "gzip")
        if behaviour != "no-version":
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.end_headers()
        if behaviour == "truncate" or (
            behaviour in {"truncate-once", "no-version", "little-by-little"} and turn == 1
        ):
            body = body[: (len(body) + 1) // 2]
            self.close_connection = True
        if behaviour == "stall" or (behaviour == "stall-once" and turn == 1):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.web.release.wait(20)
            self.close_connection = True
            return
        if behaviour == "slow":
            for start in range(0, len(body), 50_000):
                self.wfile.write(body[start : start + 50_000])
                self.wfile.flush()
                time.sleep(0.02)
            return
        self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_args):
        pass  # clients that went away are what these tests are about


def start():
    """Start a server on a free port; gives what it serves and how to end it."""
    web = Web()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": web}))
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()

    def end():
        web.release.set()
        server.shutdown()
        server.server_close()
        thread.join()

    return web, end
