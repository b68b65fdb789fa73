"""Many clients of an endpoint at once: what they are answered, and how long they wait for it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

ENDED = ("completed", "failed")
IDLE_GETS = 200
LOOK_EVERY_S = 0.5
"""Between a client's looks at its video, where the endpoint does not say."""
TIMEOUT_S = 60.0


@dataclass(kw_only=True)
class Heard:
    """What clients were answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Answers by HTTP status; 0 is none at all."""
    without_retry_after: int = 0
    """429s that do not say when to come again."""
    ended: Counter[str] = field(default_factory=Counter)
    """Videos that were seen to end, by how."""
    get_s: list[float] = field(default_factory=list)
    """Seconds of each GET of a video."""
    problems: Counter[str] = field(default_factory=Counter)
    """What was said with a 5xx, or why there was no answer."""

    @property
    def median_ms(self) -> float:
        """Of the GETs."""
        return 1e3 * median(self.get_s)

    @property
    def p99_ms(self) -> float:
        """Of the GETs."""
        return 1e3 * quantiles(self.get_s, n=100)[98]


class Clients:
    """Clients of the endpoint at `url`, each with a connection of its own."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        """`body` is what they ask for; each video has a seed of its own."""
        self._url = url
        self._body = body

    async def one_by_one(self) -> Heard:
        """One client: a video, and when it is made, GETs of it one after the other."""
        heard = Heard()
        async with self._session() as session:
            client, end = _Client(session, heard, self._body), time.monotonic() + TIMEOUT_S
            video = await client.ask(end)
            if video is not None and await client.see_to_its_end(video, end):
                heard.get_s.clear()
                for _ in range(IDLE_GETS):
                    await client.look(video)
        return heard

    async def at_once(self, count: int, seconds: float, arrive_s: float, on_second: Callable[[], None]) -> Heard:
        """`count` clients, each of which asks for a video, sees it made and asks for the next, for so long.

        They come one after the other in the first `arrive_s` seconds, as load generators' clients do, and stay.
        """
        heard = Heard()
        end = time.monotonic() + seconds
        tasks = [asyncio.ensure_future(self._go_on(heard, arrive_s * i / count, end)) for i in range(count)]
        while time.monotonic() < end:
            await asyncio.sleep(1)
            on_second()
        await asyncio.gather(*tasks)
        return heard

    async def _go_on(self, heard: Heard, after_s: float, end: float) -> None:
        await asyncio.sleep(after_s)
        async with self._session() as session:
            client = _Client(session, heard, self._body)
            while time.monotonic() < end:
                if (video := await client.ask(end)) is not None:
                    await client.see_to_its_end(video, end)

    def _session(self) -> ClientSession:
        return ClientSession(self._url, timeout=ClientTimeout(total=TIMEOUT_S))


class _Client:
    """One of them."""

    def __init__(self, session: ClientSession, heard: Heard, body: dict[str, Any]) -> None:
        self._session = session
        self._heard = heard
        self._body = body

    async def ask(self, end: float) -> str | None:
        """The id of a video; if there is no room for it, wait for as long as the endpoint asks for."""
        body = {**self._body, "seed": random.randrange(2**31)}
        status, headers, said = await self._call("POST", "/v1/videos", json=body)
        if status == 200:
            return str(said["id"])
        pause = LOOK_EVERY_S
        if status == 429 and "retry-after" in headers:
            pause = float(headers["retry-after"])
        elif status == 429:
            self._heard.without_retry_after += 1
        await asyncio.sleep(max(0.0, min(pause * random.uniform(1.0, 1.5), end - time.monotonic())))
        return None

    async def see_to_its_end(self, video: str, end: float) -> bool:
        """Look at it as often as the endpoint asks for; false if the time was over first."""
        while time.monotonic() < end:
            status, headers, said = await self.look(video)
            if status == 200 and said["status"] in ENDED:
                self._heard.ended[said["status"]] += 1
                return True
            await asyncio.sleep(float(headers.get("openai-poll-after-ms", 1e3 * LOOK_EVERY_S)) / 1e3)
        return False

    async def look(self, video: str) -> "_Answer":
        """GET it."""
        begun = time.perf_counter()
        answer = await self._call("GET", f"/v1/videos/{video}")
        self._heard.get_s.append(time.perf_counter() - begun)
        return answer

    async def _call(self, method: str, path: str, **body: Any) -> "_Answer":
        try:
            async with self._session.request(method, path, **body) as answer:
                said = await answer.json()
                self._heard.statuses[answer.status] += 1
                if answer.status >= 500:
                    self._heard.problems[str(said)[:200]] += 1
                return answer.status, answer.headers, said
        except (ClientError, TimeoutError, ValueError) as error:
            self._heard.statuses[0] += 1
            self._heard.problems[f"{type(error).__name__}: {error}"[:200]] += 1
            return 0, {}, {}


_Answer = tuple[int, Mapping[str, str], dict[str, Any]]
