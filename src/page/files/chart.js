// SPDX-License-Identifier: Apache-2.0
// Graphs of the last minute as SVG. Everything is set by attribute, nothing by markup.

const NAMESPACE = "http://www.w3.org/2000/svg";
export const SECONDS = 60;

export function svg(name, attributes = {}) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const round = (value) => Math.round(value * 10) / 10;

// A small graph without axes, as high as its own peak.
export class Sparkline {
  static WIDTH = 120;
  static HEIGHT = 22;

  constructor() {
    const { WIDTH, HEIGHT } = Sparkline;
    this.element = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "sparkline", "aria-hidden": "true", preserveAspectRatio: "none" });
    this.area = svg("path", { class: "area" });
    this.line = svg("path", { class: "line" });
    this.element.append(this.area, this.line);
  }

  show(values) {
    const { WIDTH, HEIGHT } = Sparkline;
    const step = WIDTH / (SECONDS - 1);
    const start = SECONDS - values.length;
    const peak = Math.max(...values, 1);
    const line = values
      .map((value, i) => `${i ? "L" : "M"}${round((start + i) * step)} ${round(HEIGHT - 1 - (value / peak) * (HEIGHT - 3))}`)
      .join("");
    if (line === this.shown) return;
    this.shown = line;
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", `${line}L${WIDTH} ${HEIGHT}L${round(start * step)} ${HEIGHT}Z`);
  }
}

// A round number that is no less than `value`.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((limit) => limit >= value * 0.999);
}

// A graph with axes: bands that lie on one another, or lines.
// `series` are [{name, className, values}], values oldest first and null where there is none.
export class Chart {
  static HEIGHT = 170;
  static LEFT = 52;
  static BOTTOM = 20;
  static TOP = 8;

  constructor(element, legend, { stacked, format }) {
    Object.assign(this, { element, legend, stacked, format, at: null, series: [] });
    element.addEventListener("pointermove", (event) => {
      const { left, width } = element.getBoundingClientRect();
      const share = (event.clientX - left - Chart.LEFT) / (width - Chart.LEFT);
      this.at = Math.min(SECONDS - 1, Math.max(0, Math.round(share * (SECONDS - 1))));
      this.draw();
    });
    element.addEventListener("pointerleave", () => {
      this.at = null;
      this.draw();
    });
  }

  show(series) {
    this.series = series;
    this.draw();
  }

  draw() {
    const width = this.element.clientWidth || 600;
    const { HEIGHT, LEFT, BOTTOM, TOP } = Chart;
    const x = (i) => round(LEFT + (i / (SECONDS - 1)) * (width - LEFT - 2));
    const bands = this.stacked ? stack(this.series) : this.series.map((it) => ({ ...it, tops: it.values }));
    const peak = ceiling(Math.max(0.001, ...bands.flatMap((it) => it.tops.filter((top) => top !== null))));
    const y = (value) => round(HEIGHT - BOTTOM - (value / peak) * (HEIGHT - BOTTOM - TOP));

    const parts = [];
    for (const value of [0, peak / 2, peak]) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
      parts.push(label(LEFT - 8, y(value) + 4, "end", this.format(value)));
    }
    parts.push(label(LEFT, HEIGHT - 4, "start", "60 s ago"), label(width - 2, HEIGHT - 4, "end", "now"));
    for (const band of bands.toReversed()) {
      const start = SECONDS - band.tops.length;
      if (this.stacked) {
        const top = band.tops.map((value, i) => `${x(start + i)} ${y(value)}`);
        const bottom = band.bottoms.map((value, i) => `${x(start + i)} ${y(value)}`).reverse();
        if (top.length) parts.push(svg("path", { class: `band ${band.className}`, d: `M${[...top, ...bottom].join("L")}Z` }));
      } else {
        parts.push(svg("path", { class: `curve ${band.className}`, d: curve(band.tops, start, x, y) }));
      }
    }
    if (this.at !== null) parts.push(svg("line", { class: "cursor", x1: x(this.at), x2: x(this.at), y1: TOP, y2: HEIGHT - BOTTOM }));
    this.element.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.element.replaceChildren(...parts);
    this.describe();
  }

  // The legend says the values under the pointer, or else the latest.
  describe() {
    const entries = this.series.map(({ name, className, values }) => {
      const value = values[(this.at ?? SECONDS - 1) - (SECONDS - values.length)];
      return { className, text: `${name} ${this.format(value ?? null)}` };
    });
    this.legend.replaceChildren(
      ...entries.map(({ className, text }) => {
        const entry = document.createElement("span");
        entry.className = className;
        entry.textContent = text;
        return entry;
      }),
    );
    this.element.setAttribute("aria-label", entries.map((it) => it.text).join(", "));
  }
}

function label(x, y, anchor, text) {
  const element = svg("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}

function stack(series) {
  let bottoms = series[0]?.values.map(() => 0) ?? [];
  return series.map((it) => {
    const tops = it.values.map((value, i) => bottoms[i] + value);
    const band = { ...it, bottoms, tops };
    bottoms = tops;
    return band;
  });
}

// Seconds without an answer are bridged: they say nothing about the time between.
function curve(values, start, x, y) {
  const known = values.map((value, i) => [start + i, value]).filter(([, value]) => value !== null);
  if (known.length === 1) known.push([known[0][0] + 0.4, known[0][1]]);
  return known.map(([i, value], n) => `${n ? "L" : "M"}${x(i)} ${y(value)}`).join("");
}
