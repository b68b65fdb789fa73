"""The page in a real browser: a prompt is typed, its progress is seen, its video plays, and it is deleted."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.pipelines.serving.endpoint import Endpoint, running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

PROMPT = "a red circle moving left over a black background"
PHONE = {"width": 390, "height": 844}
LATE = """
const now = window.fetch;
window.fetch = async (...asked) => {
  if (asked[0] === "page.json") await new Promise((wake) => setTimeout(wake, 1500));
  return now(...asked);
};
"""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with running(tmp_path_factory.mktemp("page"), "gang.width=1") as found:
        yield found


@pytest.fixture
def page(endpoint: Endpoint) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=PHONE)
        page.goto(endpoint.url)
        yield page
        browser.close()


def test_a_video_is_asked_for_watched_and_deleted(endpoint: Endpoint, page: Page, tmp_path: Path) -> None:
    # What latents look like is learned from the first video.
    video = endpoint.client().videos.create_and_poll(prompt=PROMPT, extra_body={"num_inference_steps": 2})
    endpoint.client().videos.delete(video.id)
    page.reload()
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than a phone"
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_label("Steps").fill("60")
    page.get_by_label("Seed").fill("3")
    page.get_by_label("PAB").select_option("pab246")
    page.get_by_role("button", name="Make the video").press("Enter")
    card = page.locator(".card").first
    expect(card.locator(".prompt")).to_have_text(PROMPT)
    seen, looks = set(), set()
    deadline = time.monotonic() + 120
    while card.get_attribute("data-status") != "completed":
        assert time.monotonic() < deadline
        if step := re.match(r"step (\d+) of 60", card.locator(".state span").inner_text()):
            seen.add(int(step[1]))
        looks.add(card.evaluate("card => card.querySelector('.screen img')?.src ?? ''"))
        if len(seen) == 5:
            page.screenshot(path=tmp_path / "progress.png")
        time.sleep(0.02)
    assert len(seen) >= 5
    looks.discard("")
    assert len(looks) >= 2
    assert all(look.startswith("data:image/webp;base64,") for look in looks)
    video = card.locator("video")
    expect(video).to_have_count(1)
    page.wait_for_function("video => video.currentTime > 0.2 && video.videoWidth === 64", arg=video.element_handle())
    expect(card.locator(".settings")).to_contain_text("64x64, 16 frames, 60 steps, seed 3")
    page.screenshot(path=tmp_path / "playing.png")
    card.get_by_role("button", name="Delete").click()
    expect(page.locator(".card")).to_have_count(0)
    page.reload()
    expect(page.locator("#queue")).to_contain_text("2 workers")
    assert page.locator(".card").count() == 0
    assert all(url.startswith((page.url, "blob:", "data:")) for url in outside), outside
    assert (tmp_path / "progress.png").stat().st_size > 5000


def test_nobody_asks_before_the_defaults_are_there(page: Page) -> None:
    page.add_init_script(LATE)
    page.reload()
    assert page.get_by_label("Prompt").is_disabled()
    page.get_by_label("Prompt").fill("x" * 5000)
    page.get_by_role("button", name="Make the video").click()
    expect(page.get_by_role("alert")).to_contain_text("at most 4,096 are taken")


def test_what_is_refused_is_said_and_a_remix_keeps_the_settings(page: Page) -> None:
    page.get_by_label("Prompt").fill("x" * 5000)
    page.get_by_role("button", name="Make the video").click()
    expect(page.get_by_role("alert")).to_contain_text("at most 4,096 are taken")
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_label("Steps").fill("2")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Make the video").click()
    first = page.locator(".card").last
    expect(first).to_have_attribute("data-status", "completed", timeout=60_000)
    page.once("dialog", lambda dialog: dialog.accept("a blue circle"))
    first.get_by_role("button", name="Remix").click()
    again = page.locator(".card").first
    expect(again.locator(".prompt")).to_have_text("a blue circle")
    expect(again.locator(".settings")).to_contain_text("2 steps, seed 7")
