// SPDX-License-Identifier: Apache-2.0
// How long answers took over time: the darker, the more of them. The axis is logarithmic.

import { Plot, POINTS, round } from "./chart.js";
import { NOTHING, count, duration } from "./format.js";
import { svg } from "./write.js";

// Where the agent's ranges begin: two for each doubling.
const SHORTEST_MS = 0.001024;
export const begin = (range) => (range === 0 ? 0 : SHORTEST_MS * 2 ** ((range - 1) / 2));

// Decades that have a line, in milliseconds, and the range that each is in.
const DECADES = [0.01, 0.1, 1, 10, 100, 1000, 10000, 100000];
const place = (ms) => 1 + 2 * Math.log2(ms / SHORTEST_MS);

// Shades of one colour, by the logarithm of the count.
const SHADES = 8;
// Ranges that are shown at least, so that few answers do not fill the whole height.
const FEWEST = 8;

export class Heatmap extends Plot {
  columns = [];

  // `columns` are lists of [range, count], oldest first.
  show(columns, date, step) {
    Object.assign(this, { columns, date, step });
    this.draw();
  }

  draw() {
    this.measure();
    const cells = this.columns.flat();
    const ranges = cells.map(([range]) => range);
    const middle = place(1);
    let low = Math.min(...(ranges.length ? ranges : [middle])) - 1;
    let high = Math.max(...(ranges.length ? ranges : [middle])) + 2;
    const missing = Math.max(0, FEWEST - (high - low)) / 2;
    low = Math.max(0, low - missing);
    high += missing;
    const y = (range) => round(this.floor - ((range - low) / (high - low)) * (this.floor - Plot.TOP));

    const most = Math.max(1, ...cells.map(([, number]) => number));
    const paths = Array.from({ length: SHADES }, () => "");
    const start = POINTS - this.columns.length;
    const width = round((this.width - Plot.LEFT - 2) / POINTS);
    this.columns.forEach((column, i) => {
      const x = round(Plot.LEFT + (start + i) * ((this.width - Plot.LEFT - 2) / POINTS));
      for (const [range, number] of column) {
        const shade = Math.min(SHADES - 1, Math.floor((Math.log(number + 1) / Math.log(most + 1)) * SHADES));
        paths[shade] += `M${x} ${y(range)}h${width}V${y(range + 1)}h${-width}Z`;
      }
    });
    const parts = DECADES.filter((ms) => place(ms) > low && place(ms) < high).flatMap((ms) => this.grid(y(place(ms)), decade(ms)));
    paths.forEach((d, shade) => d && parts.push(svg("path", { class: "heat", d, "fill-opacity": (shade + 1) / SHADES })));
    this.element.replaceChildren(...parts, ...this.times());
    this.describe([["", this.text()]]);
  }

  // What is under the pointer, or else of all.
  text() {
    const column = this.columns[(this.at ?? 0) - (POINTS - this.columns.length)];
    const cells = (this.at === null ? this.columns.flat() : (column ?? [])).toSorted(([a], [b]) => a - b);
    if (!cells.length) return NOTHING;
    const sums = new Map();
    for (const [range, number] of cells) sums.set(range, (sums.get(range) ?? 0) + number);
    const [most] = [...sums].reduce((best, it) => (it[1] > best[1] ? it : best));
    const all = [...sums.values()].reduce((sum, it) => sum + it, 0);
    const end = begin(cells.at(-1)[0] + 1);
    return `${count(all)} answers, most in ${duration(begin(most))} to ${duration(begin(most + 1))}, none over ${duration(end)}`;
  }
}

function decade(ms) {
  if (ms < 1) return `${ms * 1000} µs`;
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}
