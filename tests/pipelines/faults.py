"""A real HTTP proxy in front of a store that loses requests, or the answers to them."""

import http.client
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>reduce your rate</Message></Error>'


class FaultProxy:
    """Answers 503 to a share of all requests: before they reach the store, or (`lost_answers`) after.

    A header `drops` does not get through.
    """

    def __init__(self, endpoint: str, share: float, seed: int = 0, lost_answers: bool = False, drops: str = "") -> None:
        self.backend = urlsplit(endpoint).netloc
        self.share = share
        self.lost_answers = lost_answers
        self.drops = drops.lower()
        self.failed = 0
        self.passed = 0
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            faults = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def draw(self) -> bool:
        with self._lock:
            fails = self._random.random() < self.share
            self.failed += fails
            self.passed += not fails
            return fails


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: FaultProxy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fails = self.faults.draw()
        if fails and not self.faults.lost_answers:
            self._answer(503, [], SLOW_DOWN)
            return
        connection = http.client.HTTPConnection(self.faults.backend, timeout=30)
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("expect", self.faults.drops)
        }
        connection.request(self.command, self.path, body=body, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if fails:
            self._answer(503, [], SLOW_DOWN)
        else:
            self._answer(answer.status, answer.getheaders(), data)

    do_PUT = do_HEAD = do_DELETE = do_POST = do_GET

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        length = str(len(data))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
