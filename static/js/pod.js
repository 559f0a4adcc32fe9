// The pod's log, live. live.js dispatches what comes over the socket; lines are appended here, each once.
const KEPT_LINES = 2000;
const shown = new Set();

const log = () => document.getElementById("log");
const key = (line) => `${line.epoch}.${line.n}`;

function lineElement(line) {
  const row = document.createElement("div");
  row.dataset.n = key(line);
  row.className = `line ${line.stream}`;
  const time = document.createElement("time");
  time.dateTime = line.at;
  time.textContent = line.at.slice(11, 19);
  row.append(time, ` ${line.text}`);
  return row;
}

function append(lines) {
  const place = log();
  if (!place) return;
  const fresh = lines.filter((line) => !shown.has(key(line)));
  for (const line of fresh) shown.add(key(line));
  place.append(...fresh.map(lineElement));
  while (place.childElementCount > KEPT_LINES) {
    shown.delete(place.firstElementChild.dataset.n);
    place.firstElementChild.remove();
  }
  if (document.getElementById("log-follow")?.checked) place.scrollTop = place.scrollHeight;
}

function say(id, attribute) {
  const state = document.getElementById(id);
  if (state) state.textContent = state.dataset[attribute];
}

// The fragment came with the last lines: remember them, so that the socket's first message adds only what is new.
document.addEventListener("htmx:afterSwap", () => {
  const place = log();
  if (!place || place.dataset.read) return;
  place.dataset.read = "yes";
  for (const row of place.children) shown.add(row.dataset.n);
  place.scrollTop = place.scrollHeight;
});
document.body.addEventListener("live:pod.logs", (event) => {
  append(event.detail.lines);
  say("log-state", "word");
});
