// Live pages. A page names its socket in [data-live]; what comes over it is dispatched on <body> as `live:<type>`,
// so that a fragment refreshes with hx-trigger="live:pod.changed from:body, live:poll from:body".
// While the socket is away `live:poll` comes every ten seconds instead. The reader may pause both.
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20000;
const POLL_MS = 10000;

/** Keep a socket open, with back-off; `onEvent` gets each parsed message, `onState` "live" or "lost". Returns close(). */
export function subscribe(path, { onEvent, onState = () => {} }) {
  let socket;
  let timer;
  let wait = FIRST_WAIT_MS;
  let closed = false;

  function open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${path}`);
    socket.addEventListener("open", () => {
      wait = FIRST_WAIT_MS;
      onState("live");
    });
    socket.addEventListener("message", (message) => onEvent(JSON.parse(message.data)));
    socket.addEventListener("close", () => {
      if (closed) return;
      onState("lost");
      // Spread out, so that a restarted server is not met by everybody at once.
      timer = setTimeout(open, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    });
  }

  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    socket.close();
  };
}

function dispatch(name, detail) {
  document.body.dispatchEvent(new CustomEvent(`live:${name}`, { detail }));
}

function show(place, state) {
  const badge = place.querySelector("[data-live-state]");
  const tones = { live: "good", lost: "busy", paused: "still" };
  const words = { live: place.dataset.wordLive, lost: place.dataset.wordLost, paused: place.dataset.wordPaused };
  badge.className = `status ${tones[state]}`;
  badge.textContent = words[state];
  // Only what the reader did or must know is spoken; reconnecting may flicker.
  if (state !== "lost") place.querySelector("[data-live-said]").textContent = words[state];
}

export function startLive() {
  const place = document.querySelector("[data-live]");
  if (!place) return;
  const button = place.querySelector("[data-live-pause]");
  let close;
  let poll;

  function onState(state) {
    show(place, state);
    clearInterval(poll);
    if (state === "lost") poll = setInterval(() => dispatch("poll"), POLL_MS);
  }

  function resume() {
    close = subscribe(place.dataset.live, { onState, onEvent: (event) => dispatch(event.type, event) });
  }

  button.addEventListener("click", () => {
    const paused = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(paused));
    if (paused) {
      close();
      onState("paused");
    } else {
      dispatch("poll"); // catch up with what was missed
      resume();
    }
  });
  place.hidden = false;
  resume();
}
