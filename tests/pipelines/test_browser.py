"""The videos in a real browser: headless Chromium plays one to its end and tells the pixels that it showed."""

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.video import encode_mp4

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

PAGE = b"""<!doctype html><video id="video" muted src="video.mp4"></video>
<script>
const video = document.getElementById("video");
const tell = (seen) => fetch("seen", {method: "POST", body: JSON.stringify(seen)});
video.onerror = () => tell({error: video.error.message});
video.onended = () => {
  const canvas = Object.assign(document.createElement("canvas"),
    {width: video.videoWidth, height: video.videoHeight});
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const pixel = (x, y) => Array.from(context.getImageData(x, y, 1, 1).data.slice(0, 3));
  tell({size: [canvas.width, canvas.height], duration: video.duration, left: pixel(8, 32), right: pixel(88, 32)});
};
video.play();
</script>"""


class Theatre:
    """A server of one page with one video, and what the page told of it."""

    def __init__(self, video: bytes) -> None:
        self.seen: queue.Queue[dict[str, Any]] = queue.Queue()
        theatre = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body, kind = (video, "video/mp4") if self.path.endswith(".mp4") else (PAGE, "text/html")
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                theatre.seen.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def theatre() -> Iterator[Theatre]:
    """Plays two seconds: the left half turns from red to green, the right half stays blue."""
    frames = np.zeros((16, 64, 96, 3), np.uint8)
    frames[:8, :, :48] = (220, 40, 40)
    frames[8:, :, :48] = (40, 200, 60)
    frames[:, :, 48:] = (30, 60, 210)
    playing = Theatre(encode_mp4(frames, 8))
    yield playing
    playing.server.shutdown()
    playing.server.server_close()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_chromium_plays_a_video_to_its_end_in_the_right_colours(theatre: Theatre, tmp_path: Path) -> None:
    command = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}"),
        *("--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0", theatre.url),
    ]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        seen = theatre.seen.get(timeout=60)
    finally:
        browser.terminate()
        browser.wait(20)
    assert "error" not in seen, seen
    assert seen["size"] == [96, 64]
    assert seen["duration"] == pytest.approx(2.0, abs=0.01)
    assert np.abs(np.array(seen["left"]) - (40, 200, 60)).max() <= 10, "the last frame's colour"
    assert np.abs(np.array(seen["right"]) - (30, 60, 210)).max() <= 10
