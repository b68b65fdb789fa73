"""The page in headless Chromium: its videos play, it fits a phone, and it asks nobody for anything."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from pipelines.store import LocalStore
from tests.pipelines.report.datasets import fill, page_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PLAYING = "video => video.currentTime > 0.3 && !video.paused && video.readyState >= 3"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run of configs/demo.yaml, in fewer steps."""
    folder = tmp_path_factory.mktemp("demo")
    script = Path(sys.executable).with_name("pabcast")
    job = ["run", "configs/demo.yaml", "sampling.steps=4", "pab=spatial=2,temporal=2,cross=3"]
    for command in (job, ["report", "out/demo", "--out", "demo.html"]):
        done = subprocess.run([script, *command], cwd=folder, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
    return folder / "demo.html"


class Visit:
    """A page that is open, the requests that it made and what its console said."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(url)
        self.url = url

    def outside(self) -> list[str]:
        """Requests for anything but the page, and what it holds."""
        return [url for url in self.requests if url != self.url and not url.startswith("data:")]

    def wait_for(self, predicate: str, argument: object = None) -> None:
        """Asked from outside: the page's own policy lets no script of a text run, which is how a page waits itself."""
        deadline = time.monotonic() + 30
        while not self.page.evaluate(predicate, argument):
            assert time.monotonic() < deadline, predicate
            time.sleep(0.1)


def test_every_video_of_the_demo_run_plays_and_nothing_is_asked_of_anybody(
    browser: Browser, demo_page: Path, tmp_path: Path
) -> None:
    context = browser.new_context(viewport=DESK)
    visit = Visit(context, demo_page.as_uri())
    videos = visit.page.locator("video")
    assert videos.count() == 12
    for video in videos.all():
        video.scroll_into_view_if_needed()
        visit.wait_for(PLAYING, video.element_handle())
        assert video.evaluate("video => [video.videoWidth, video.videoHeight].join('x')") in (
            *("64x64", "96x64", "64x96", "128x128"),
        )
    visit.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    visit.wait_for("() => [...document.querySelectorAll('video')].every(video => video.paused)")
    text = visit.page.inner_text("body")
    assert "a red circle moving left over a black background" in text
    assert "50% broadcast" in " ".join(text.split()), "temporal attention, of 4 steps"
    assert "gang of 2" in text
    assert visit.page.locator("#gangs rect[class^=t]").count() >= 12
    assert visit.outside() == []
    assert visit.said == []
    visit.page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 50_000
    context.close()


def test_a_video_of_it_can_be_played_without_scripts(browser: Browser, demo_page: Path) -> None:
    context = browser.new_context(viewport=DESK, java_script_enabled=False)
    visit = Visit(context, demo_page.as_uri())
    assert visit.page.locator("video[controls]").count() == 12
    visit.page.locator("video").first.click()
    visit.page.wait_for_timeout(1000)
    shown = visit.page.locator("video").first.screenshot()
    visit.page.wait_for_timeout(400)
    assert visit.page.locator("video").first.screenshot() != shown, "it moves"
    context.close()


def test_who_wants_less_motion_gets_none_before_a_click(browser: Browser, demo_page: Path) -> None:
    context = browser.new_context(viewport=DESK, reduced_motion="reduce")
    visit = Visit(context, demo_page.as_uri())
    visit.wait_for("() => document.querySelector('video').readyState >= 3")
    visit.page.wait_for_timeout(700)
    assert visit.page.evaluate("[...document.querySelectorAll('video')].every(v => v.paused && v.controls)")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_in_dark(browser: Browser, demo_page: Path, scheme: str) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme, has_touch=True)  # type: ignore[arg-type]
    page = Visit(context, demo_page.as_uri()).page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    sizes = page.evaluate(
        "[...document.querySelectorAll('p, dd, dt, th, td, svg text')]"
        ".map(element => parseFloat(getComputedStyle(element).fontSize))"
    )
    assert min(sizes) >= 11, "text in the charts is not scaled down with them"
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in colour.strip("rgb()").split(",")) > 600) == (scheme == "light")
    context.close()


class Listener:
    """A server that counts who asks it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


ATTEMPTS = """async url => {
  new Image().src = url + "/image";
  for (const [tag, key] of [["script", "src"], ["iframe", "src"], ["video", "src"], ["object", "data"]])
    document.body.append(Object.assign(document.createElement(tag), { [key]: url + "/" + tag }));
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: url + "/style" }));
  await fetch(url + "/fetch").catch(() => {});
  await new Promise(wake => setTimeout(wake, 1000));
}"""


def test_its_policy_keeps_whatever_gets_into_it_from_the_network(
    browser: Browser, listener: Listener, tmp_path: Path
) -> None:
    fill(LocalStore(tmp_path / "set"), {})
    page_of(LocalStore(tmp_path / "set"), tmp_path / "page.html")
    loose = tmp_path / "loose.html"
    loose.write_text((tmp_path / "page.html").read_text().replace("Content-Security-Policy", "X-None"))
    context = browser.new_context()
    Visit(context, loose.as_uri()).page.evaluate(ATTEMPTS, listener.url)
    assert {"/image", "/script", "/iframe", "/video", "/object", "/style"} <= set(listener.asked)
    listener.asked.clear()
    Visit(context, (tmp_path / "page.html").as_uri()).page.evaluate(ATTEMPTS, listener.url)
    assert listener.asked == []
    context.close()


def test_a_hostile_prompt_stays_a_text(browser: Browser, listener: Listener, tmp_path: Path) -> None:
    prompt = f"<script>window.taken = 1</script><img src='{listener.url}/x' onerror='window.taken = 1'>\"'></video>"
    fill(LocalStore(tmp_path / "set"), {"prompt": prompt, "id": prompt}, failures=1)
    page_of(LocalStore(tmp_path / "set"), tmp_path / "page.html")
    context = browser.new_context()
    visit = Visit(context, (tmp_path / "page.html").as_uri())
    visit.wait_for(PLAYING, visit.page.locator("video").element_handle())
    assert visit.page.locator(".prompt").inner_text() == prompt
    assert visit.page.evaluate("window.taken") is None
    assert (listener.asked, visit.outside(), visit.said) == ([], [], [])
    context.close()
