// Charts with uPlot. A figure says where its data is:
//   <figure data-chart> with {"x": [unix seconds], "series": [{"label", "unit", "values"}]} as JSON inside it, or
//   <div data-chart="line|steps|bars" data-series="id" data-x="at" data-y="cpu ram" data-labels="CPU|RAM" data-unit="$">
//   with columns by name in the page's JSON of that id. Days may be ISO dates, amounts strings.
// Its table stands beside it in the page and needs no script.
import uPlot from "../vendor/uplot.js";

const COLOURS = ["--accent", "--good", "--warn", "--bad", "--busy"];
const HEIGHT = 240;
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();

const seconds = (at) => (typeof at === "number" ? at : Date.parse(at) / 1000);
const amount = (value) => (value === null ? null : Number(value));

function read(figure) {
  const { series: id, x = "at", y = "", labels = "", unit = "" } = figure.dataset;
  if (!id) return JSON.parse(figure.querySelector("script").textContent);
  const columns = JSON.parse(document.getElementById(id).textContent);
  const names = y.split(" ").filter((name) => columns[name]);
  const words = labels ? labels.split("|") : names;
  return {
    x: columns[x].map(seconds),
    series: names.map((name, n) => ({ label: words[n], unit, values: columns[name].map(amount) })),
  };
}

// A canvas knows no custom properties: let the browser resolve them on an element first.
function resolve(figure, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  figure.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function writer(unit, places = 0) {
  const language = document.documentElement.lang;
  const money = unit === "$";
  const minimumFractionDigits = money ? Math.max(2, places) : places;
  return (value) => {
    if (value == null) return "—";
    const text = value.toLocaleString(language, { minimumFractionDigits, maximumFractionDigits: Math.max(minimumFractionDigits, money ? 4 : 2) });
    return money ? `$${text}` : unit ? `${text} ${unit}` : text;
  };
}

function line(figure, one, n, bars) {
  const stroke = resolve(figure, COLOURS[n % COLOURS.length]);
  const write = writer(one.unit);
  const shape = { label: one.label, stroke, width: 2, value: (_, value) => write(value) };
  if (bars) return { ...shape, width: 0, fill: stroke, paths: uPlot.paths.bars({ size: [0.7 / (n + 1), 40] }), points: { show: false } };
  // The second line is dashed: lines differ by more than colour. A price holds until it changes: steps.
  const paths = figure.dataset.chart === "steps" ? uPlot.paths.stepped({ align: 1 }) : undefined;
  return { ...shape, dash: n % 2 ? [6, 4] : undefined, paths };
}

// Seconds within minutes, hours within a day, days within a year, months beyond; always UTC, 24 hours.
function times(_, ticks, __, ___, step) {
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const part = step < 60 ? { ...clock, second: "2-digit" } : step < 86400 ? clock : step < 28 * 86400 ? { day: "numeric", month: "short" } : { month: "short", year: "numeric" };
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { ...part, timeZone: "UTC" });
  return ticks.map((at) => format.format(at * 1000));
}

function moment(_, at) {
  return at == null ? "—" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");
}

function options(figure, data) {
  const grid = { stroke: resolve(figure, "--line"), width: 1 };
  const axis = { stroke: resolve(figure, "--ink-2"), grid, ticks: grid, font: `12px ${getComputedStyle(figure).fontFamily}` };
  const unit = data.series[0]?.unit;
  // Ticks of one axis have as many decimals as its step needs; counts have none, and no steps between them.
  const write = (_, ticks, __, ___, step) => ticks.map(writer(unit, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))));
  const counts = data.series.every((one) => one.values.every((value) => value === null || Number.isInteger(value)));
  const incrs = counts && unit !== "$" ? WHOLE : undefined;
  const bars = figure.dataset.chart === "bars";
  return {
    width: figure.clientWidth,
    height: HEIGHT,
    series: [{ label: "UTC", value: moment }, ...data.series.map((one, n) => line(figure, one, n, bars))],
    axes: [{ ...axis, space: 72, values: times }, { ...axis, size: 72, incrs, values: write }],
    scales: bars ? { y: { range: (_, low, high) => [0, high * 1.1 || 1] } } : {},
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
  };
}

function draw(figure) {
  const data = read(figure);
  if (!data.series.length || !figure.clientWidth) return;
  const columns = [data.x, ...data.series.map((one) => one.values)];
  let plot = new uPlot(options(figure, data), columns, figure);
  const resize = new ResizeObserver(() => plot.setSize({ width: figure.clientWidth, height: HEIGHT }));
  resize.observe(figure);
  const redraw = () => {
    if (!figure.isConnected) return document.removeEventListener("theme", redraw);
    plot.destroy();
    plot = new uPlot(options(figure, data), columns, figure);
  };
  document.addEventListener("theme", redraw);
}

function drawAll(root) {
  for (const figure of root.querySelectorAll("[data-chart]:not([data-drawn])")) {
    figure.dataset.drawn = "";
    draw(figure);
  }
}

function loadStyle(path) {
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL(path, import.meta.url).href });
  document.head.append(sheet);
  return new Promise((done) => ["load", "error"].forEach((name) => sheet.addEventListener(name, done)));
}

await Promise.all(["../vendor/uplot.css", "../css/charts.css"].map(loadStyle));
drawAll(document);
document.body.addEventListener("htmx:load", (event) => drawAll(event.detail.elt));
