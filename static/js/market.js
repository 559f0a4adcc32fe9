// The market in motion: prices change in place, new offers are counted and shown when asked for, weights move.
const market = () => document.getElementById("market");
let news = 0;

function money(text) {
  const value = Number(text);
  const places = value > 0 && value < 0.1 ? 4 : 2;
  return `$${value.toLocaleString(document.documentElement.lang, { minimumFractionDigits: places, maximumFractionDigits: places })}`;
}

function applyOffer(offer) {
  const place = document.querySelector(`[data-offer="${CSS.escape(offer.id)}"]`);
  if (!place) return false;
  const price = place.querySelector("[data-price]");
  const shown = money(offer.price_per_gpu_hour);
  if (price.textContent !== shown) {
    price.textContent = shown;
    const total = place.querySelector("[data-total]");
    if (total) total.textContent = money(offer.price_per_hour);
    place.classList.remove("changed");
    void place.offsetWidth; // start the animation again
    place.classList.add("changed");
  }
  place.classList.toggle("gone", offer.gone || offer.available === 0);
  return true;
}

function showNews() {
  const button = document.querySelector("[data-news]");
  if (!button) return;
  button.hidden = news === 0;
  button.querySelector("[data-news-count]").textContent = news.toLocaleString(document.documentElement.lang);
}

function fetchAgain() {
  news = 0;
  window.htmx.ajax("GET", location.pathname + location.search, { target: "#market", swap: "outerHTML" });
}

document.body.addEventListener("live:offers.changed", ({ detail }) => {
  const asked = market()?.dataset.gpus.split(" ").filter(Boolean) ?? [];
  const others = detail.offers.filter((offer) => !applyOffer(offer));
  news += others.filter((offer) => !offer.gone && (!asked.length || asked.includes(offer.gpu))).length;
  showNews();
  if (detail.many && market() && !market().contains(document.activeElement)) fetchAgain();
});

// Without the socket the page asks now and then, unless somebody is typing in it.
document.body.addEventListener("live:poll", () => {
  if (market() && !market().contains(document.activeElement)) fetchAgain();
});

document.body.addEventListener("click", (event) => {
  if (event.target.closest("[data-news]")) fetchAgain();
});

document.body.addEventListener("input", (event) => {
  const output = event.target.type === "range" && document.querySelector(`[data-weight-of="${event.target.name}"]`);
  if (output) output.textContent = event.target.value;
});

// Short addresses: what is empty is not said.
document.body.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches?.("[data-search]")) return;
  const { parameters } = event.detail;
  for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
});

// An open second row of filters stays open when the table is swapped.
let keepOpen = false;
document.body.addEventListener("htmx:beforeSwap", () => (keepOpen = document.querySelector("[data-keep-open]")?.open ?? false));
document.body.addEventListener("htmx:afterSwap", () => {
  const details = document.querySelector("[data-keep-open]");
  if (details && keepOpen) details.open = true;
});
