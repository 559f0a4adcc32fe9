// <figure data-chart> draws the JSON inside it, or that of data-url, with uPlot: {"x": [unix seconds], "series":
// [{"label", "values", "unit"}], "summary"}. Its table stands beside it in the page and needs no script.
// data-live-on="pod.metric" fetches data-url again when that event comes.
import uPlot from "../vendor/uplot.js";

const COLOURS = ["--accent", "--good", "--warn", "--bad", "--busy"];
const HEIGHT = 240;

// A canvas knows no custom properties: let the browser resolve them on an element first.
function resolve(figure, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  figure.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function format(unit) {
  const language = document.documentElement.lang;
  if (unit === "$") return (value) => (value == null ? "—" : `$${value.toLocaleString(language, { maximumFractionDigits: 4 })}`);
  return (value) => (value == null ? "—" : `${value.toLocaleString(language, { maximumFractionDigits: 2 })}${unit ? ` ${unit}` : ""}`);
}

function options(figure, data) {
  const ink = resolve(figure, "--ink-2");
  const grid = { stroke: resolve(figure, "--line"), width: 1 };
  const axis = { stroke: ink, grid, ticks: grid, font: `12px ${getComputedStyle(figure).fontFamily}` };
  const unit = format(data.series[0]?.unit ?? "");
  return {
    width: figure.clientWidth,
    height: HEIGHT,
    series: [{}, ...data.series.map((one, n) => series(figure, one, n))],
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(unit) }],
    cursor: { points: { size: 6 } },
  };
}

function series(figure, one, n) {
  const shown = format(one.unit);
  const colour = resolve(figure, COLOURS[n % COLOURS.length]);
  // The second line is dashed: lines differ by more than colour.
  return { label: one.label, stroke: colour, width: 2, dash: n % 2 ? [6, 4] : undefined, value: (_, value) => shown(value), spanGaps: true };
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    const inside = figure.querySelector("script[type='application/json']");
    if (inside) this.draw(JSON.parse(inside.textContent));
    else this.load();
    new ResizeObserver(() => this.plot?.setSize({ width: figure.clientWidth, height: HEIGHT })).observe(figure);
    document.addEventListener("theme", () => this.data && this.draw(this.data));
    if (figure.dataset.liveOn) document.body.addEventListener(`live:${figure.dataset.liveOn}`, () => this.load());
    if (figure.dataset.url) document.body.addEventListener("live:poll", () => this.load());
  }

  async load() {
    if (this.loading) return;
    this.loading = true;
    try {
      const answer = await fetch(this.figure.dataset.url, { headers: { Accept: "application/json" } });
      if (answer.ok) this.draw(await answer.json());
    } finally {
      this.loading = false;
    }
  }

  draw(data) {
    this.data = data;
    const columns = [data.x, ...data.series.map((one) => one.values)];
    if (this.plot && this.plot.series.length === columns.length && this.drawnTheme === this.theme()) {
      this.plot.setData(columns);
      return;
    }
    this.plot?.destroy();
    this.drawnTheme = this.theme();
    this.plot = new uPlot(options(this.figure, data), columns, this.figure);
  }

  theme() {
    return resolve(this.figure, "--ink");
  }
}

export function startCharts(root = document) {
  for (const figure of root.querySelectorAll("[data-chart]:not([data-drawn])")) {
    figure.dataset.drawn = "";
    new Chart(figure);
  }
}

startCharts();
document.body.addEventListener("htmx:load", (event) => startCharts(event.detail.elt));
