// The page of an endpoint: it asks the same API that everybody else does.

const PAGE = 12;
const ask = document.getElementById("ask");
const keyForm = document.getElementById("key-form");
const list = document.getElementById("videos");
const more = document.getElementById("more");
const problem = document.getElementById("problem");
const cards = new Map();
let key = sessionStorage.getItem("key") ?? "";
let oldest = null;

async function call(path, how = {}) {
  const headers = { ...(how.headers ?? {}), ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const answer = await fetch(path, { ...how, headers });
  if (answer.status === 401) {
    keyForm.hidden = false;
    document.getElementById("key").focus();
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => null);
    throw new Error(body?.error?.message ?? `${answer.status} ${answer.statusText}`);
  }
  return answer;
}

const post = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function told(work) {
  problem.textContent = "";
  try {
    await work();
  } catch (error) {
    problem.textContent = error.message;
  }
}

function makeCard(video) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  card.id = video.id;
  card.querySelector(".delete").onclick = () => told(async () => {
    await call(`v1/videos/${video.id}`, { method: "DELETE" });
    forget(video.id);
  });
  card.querySelector(".remix").onclick = () => told(async () => {
    const words = prompt("The same video with another prompt:", video.prompt);
    if (words) follow(await (await post(`v1/videos/${video.id}/remix`, { prompt: words })).json(), true);
  });
  return card;
}

function forget(id) {
  cards.get(id)?.remove();
  cards.delete(id);
}

function place(video, first) {
  if (!cards.has(video.id)) {
    const card = makeCard(video);
    cards.set(video.id, card);
    if (first) list.prepend(card);
    else list.append(card);
  }
  return cards.get(video.id);
}

function spell(video) {
  if (video.status === "failed") return `failed: ${video.error.message}`;
  if (video.status === "completed") return `made by a gang of ${video.gang}`;
  const left = video.eta_seconds === null ? "" : `, about ${Math.ceil(video.eta_seconds)} s left`;
  if (video.status === "queued") {
    return video.queue_position === null ? "waiting" : `waiting behind ${video.queue_position}${left}`;
  }
  return `step ${video.step} of ${video.num_inference_steps}${left}; gang of ${video.gang}: ${video.gang_reason}`;
}

function show(video, first = false) {
  const card = place(video, first);
  card.dataset.status = video.status;
  card.querySelector(".prompt").textContent = video.prompt;
  card.querySelector("progress").value = video.progress;
  card.querySelector(".state span").textContent = spell(video);
  card.querySelector(".settings").textContent =
    `${video.size}, ${video.num_frames} frames, ${video.num_inference_steps} steps, seed ${video.seed}, ` +
    `PAB ${video.pab}`;
  if (video.preview) preview(video, card);
  if (video.status === "completed" && !card.querySelector("video")) play(video, card);
}

function preview(video, card) {
  const screen = card.querySelector(".screen");
  if (!screen.querySelector("img")) screen.replaceChildren(new Image());
  Object.assign(screen.querySelector("img"), { src: video.preview, alt: "what there is to see so far" });
}

async function play(video, card) {
  const screen = document.createElement("video");
  Object.assign(screen, { controls: true, loop: true, muted: true, autoplay: true, playsInline: true });
  screen.setAttribute("aria-label", video.prompt);
  card.querySelector(".screen").replaceChildren(screen);
  const content = await call(`v1/videos/${video.id}/content`);
  screen.src = URL.createObjectURL(await content.blob());
}

async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (text + part.value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

async function follow(video, first = false) {
  show(video, first);
  let last = video;
  while (last.status === "queued" || last.status === "in_progress") {
    try {
      for await (const event of eventsOf(await call(`v1/videos/${video.id}/events`))) {
        last = event;
        if (!cards.has(video.id)) return;
        show(event);
      }
    } catch (error) {
      if (!cards.has(video.id)) return;
      await new Promise((wake) => setTimeout(wake, 2000));
    }
  }
}

async function listOlder() {
  const page = await (await call(`v1/videos?limit=${PAGE}${oldest ? `&after=${oldest}` : ""}`)).json();
  page.data.forEach((video) => follow(video));
  oldest = page.last_id ?? oldest;
  more.hidden = !page.has_more;
}

async function showQueue() {
  const queue = await (await call("page.json")).json();
  document.getElementById("queue").textContent =
    `${queue.running} being made, ${queue.waiting} waiting, ${queue.workers} workers`;
}

async function start() {
  const page = await (await call("page.json")).json();
  document.getElementById("model").textContent = page.model;
  ask.elements.pab.replaceChildren(...page.presets.map((name) => new Option(name, name)));
  for (const [name, value] of Object.entries(page.defaults)) ask.elements[name].value = value;
  ask.querySelector("fieldset").disabled = false;
  await listOlder();
}

ask.onsubmit = (event) => {
  event.preventDefault();
  told(async () => {
    const fields = Object.fromEntries([...new FormData(ask)].filter(([, value]) => value !== ""));
    follow(await (await post("v1/videos", fields)).json(), true);
  });
};
keyForm.onsubmit = (event) => {
  event.preventDefault();
  key = document.getElementById("key").value.trim();
  sessionStorage.setItem("key", key);
  told(async () => {
    await start();
    keyForm.hidden = true;
  });
};
more.onclick = () => told(listOlder);
setInterval(() => showQueue().catch(() => {}), 2000);
told(start);
