// SPDX-License-Identifier: Apache-2.0
// Graphs as SVG. Everything is set by attribute, nothing by markup.

import { time } from "./format.js";
import { make, svg } from "./write.js";

export const SECONDS = 60;
// As many points has a minute, by seconds, and an hour, by minutes.
export const POINTS = 60;

export const round = (value) => Math.round(value * 10) / 10;

// A small graph without axes, as high as its own peak, which the row says.
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

  show(values, peak) {
    const { WIDTH, HEIGHT } = Sparkline;
    const step = WIDTH / (SECONDS - 1);
    const start = SECONDS - values.length;
    const scale = Math.max(peak, 1);
    const line = values
      .map((value, i) => `${i ? "L" : "M"}${round((start + i) * step)} ${round(HEIGHT - 1 - (value / scale) * (HEIGHT - 3))}`)
      .join("");
    if (line === this.shown) return;
    this.shown = line;
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", line && `${line}L${WIDTH} ${HEIGHT}L${round(start * step)} ${HEIGHT}Z`);
  }
}

// What graphs over time have in common: where a point is, what is under the pointer, and their axis.
export class Plot {
  static LEFT = 52;
  static BOTTOM = 20;
  static TOP = 8;

  constructor(element, legend) {
    Object.assign(this, { element, legend, at: null, date: 0, step: 1000 });
    element.addEventListener("pointermove", (event) => {
      const { left, width } = element.getBoundingClientRect();
      const share = (event.clientX - left - Plot.LEFT) / (width - Plot.LEFT);
      this.at = Math.min(POINTS - 1, Math.max(0, Math.round(share * (POINTS - 1))));
      this.draw();
    });
    element.addEventListener("pointerleave", () => {
      this.at = null;
      this.draw();
    });
  }

  measure() {
    this.width = this.element.clientWidth || 600;
    this.height = this.element.clientHeight || 170;
    this.floor = this.height - Plot.BOTTOM;
    this.element.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
  }

  x(i) {
    return round(Plot.LEFT + (i / (POINTS - 1)) * (this.width - Plot.LEFT - 2));
  }

  // A line across with what it stands for.
  grid(y, text) {
    return [svg("line", { class: "grid", x1: Plot.LEFT, x2: this.width, y1: y, y2: y }), this.label(Plot.LEFT - 8, y + 4, "end", text)];
  }

  label(x, y, anchor, text) {
    return svg("text", { x, y, "text-anchor": anchor }, text);
  }

  // Where the axis of time begins and ends, and the line under the pointer.
  times() {
    const unit = this.step === 1000 ? "s" : "min";
    const parts = [this.label(Plot.LEFT, this.height - 4, "start", `${POINTS} ${unit} ago`), this.label(this.width - 2, this.height - 4, "end", "now")];
    if (this.at !== null) parts.push(svg("line", { class: "cursor", x1: this.x(this.at), x2: this.x(this.at), y1: Plot.TOP, y2: this.floor }));
    return parts;
  }

  // Says what is under the pointer, or else the latest. Each is a class name and a text.
  describe(entries) {
    const when = this.at === null ? [] : [make("time", "", time(this.date - (POINTS - 1 - this.at) * this.step))];
    this.legend.replaceChildren(...when, ...entries.map(([className, text]) => make("span", className, text)));
    this.element.setAttribute("aria-label", entries.map(([, text]) => text).join(", "));
  }
}

// A round number that is no less than `value`.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((limit) => limit >= value * 0.999);
}

// Bands that lie on one another, or lines.
export class Chart extends Plot {
  constructor(element, legend, { stacked, format }) {
    super(element, legend);
    Object.assign(this, { stacked, format, series: [] });
  }

  // `series` are [{name, className, values}], values oldest first and null where there is none, up to `date` and each `step` ms long.
  show(series, date, step) {
    Object.assign(this, { series, date, step });
    this.draw();
  }

  draw() {
    this.measure();
    const { floor } = this;
    const x = (i) => this.x(i);
    const bands = this.stacked ? stack(this.series) : this.series.map((it) => ({ ...it, tops: it.values }));
    const peak = ceiling(Math.max(0.001, ...bands.flatMap((it) => it.tops.filter((top) => top !== null))));
    const y = (value) => round(floor - (value / peak) * (floor - Plot.TOP));

    const parts = [0, peak / 2, peak].flatMap((value) => this.grid(y(value), this.format(value)));
    for (const band of bands.toReversed()) {
      const start = POINTS - band.tops.length;
      if (this.stacked) {
        const top = band.tops.map((value, i) => `${x(start + i)} ${y(value)}`);
        const bottom = band.bottoms.map((value, i) => `${x(start + i)} ${y(value)}`).reverse();
        if (top.length) parts.push(svg("path", { class: `band ${band.className}`, d: `M${[...top, ...bottom].join("L")}Z` }));
      } else {
        parts.push(svg("path", { class: `curve ${band.className}`, d: curve(band.tops, start, x, y) }));
      }
    }
    this.element.replaceChildren(...parts, ...this.times());
    this.describe(
      this.series.map(({ name, className, values }) => {
        const value = values[(this.at ?? POINTS - 1) - (POINTS - values.length)];
        return [className, `${name} ${this.format(value ?? null)}`];
      }),
    );
  }
}

const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"];

// Answers by class: 2xx always, and others where there are some.
export function byClass(points) {
  const none = [0, 0, 0, 0, 0];
  const series = CLASSES.map((name, i) => ({ name, className: `s${i + 1}`, values: points.map(({ answers = none }) => answers[i]) }));
  return series.filter(({ values }, i) => i === 1 || values.some((value) => value > 0));
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
