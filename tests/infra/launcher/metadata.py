"""A server of metadata as Google's machines have one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

METADATA = "http://metadata.google.internal"
ANSWERS = {
    "/identity?audience=sts.amazonaws.com": b"an-identity",
    "/default/token": b'{"access_token":"an-access.token","expires_in":3599,"token_type":"Bearer"}',
}


class Metadata(BaseHTTPRequestHandler):
    """Answers as Google's server of metadata does, which wants its header."""

    def do_GET(self) -> None:
        asked = [answer for part, answer in ANSWERS.items() if part in self.path]
        wanted = self.headers.get("Metadata-Flavor") == "Google" and bool(asked)
        self.send_response(200 if wanted else 403)
        self.end_headers()
        self.wfile.write(asked[0] if wanted else b"forbidden")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running() -> Iterator[str]:
    """Its URL, for METADATA's."""
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
