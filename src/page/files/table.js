// SPDX-License-Identifier: Apache-2.0
// The table of processes. Rows stay and only what has changed in them is written, so that many stay smooth.

import { Sparkline } from "./chart.js";
import { NOTHING, count, duration, rate, share } from "./format.js";

const KEYS = {
  name: (it) => it.name.toLowerCase(),
  container: (it) => it.container ?? "",
  rate: (it) => it.requests_per_second,
  errors: (it) => it.errors ?? -1,
  p50: (it) => it.p50_ms ?? -1,
  p90: (it) => it.p90_ms ?? -1,
  p99: (it) => it.p99_ms ?? -1,
  max: (it) => it.max_ms ?? -1,
};
const TEXTS = ["name", "container"];

export class Table {
  constructor(element, open) {
    this.element = element;
    this.body = element.tBodies[0];
    this.open = open;
    this.rows = new Map();
    this.sort = { key: "rate", down: true };
    this.filter = "";
    for (const header of element.querySelectorAll("th[data-sort]")) {
      header.querySelector("button").addEventListener("click", () => this.sortBy(header.dataset.sort));
    }
    this.markSort();
  }

  sortBy(key) {
    const down = this.sort.key === key ? !this.sort.down : !TEXTS.includes(key);
    this.sort = { key, down };
    this.markSort();
    this.arrange(true);
  }

  markSort() {
    for (const header of this.element.querySelectorAll("th[data-sort]")) {
      const order = this.sort.down ? "descending" : "ascending";
      header.setAttribute("aria-sort", header.dataset.sort === this.sort.key ? order : "none");
    }
  }

  // Returns how many processes are in sight.
  find(text) {
    this.filter = text.trim().toLowerCase();
    return this.arrange(true);
  }

  show(processes) {
    for (const [id, row] of this.rows) {
      if (!processes.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    for (const [id, process] of processes) {
      let row = this.rows.get(id);
      if (!row) {
        row = new Row(() => this.open(id));
        this.rows.set(id, row);
      }
      row.show(process);
    }
    return this.arrange(false);
  }

  // Nothing moves away from under a pointer or the keyboard's focus.
  arrange(asked) {
    const matching = [...this.rows.values()].filter((row) => row.matches(this.filter));
    const inUse = this.body.matches(":hover") || this.body.contains(document.activeElement);
    if (asked || !inUse) {
      const key = KEYS[this.sort.key];
      const sign = this.sort.down ? -1 : 1;
      const byKey = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
      matching.sort((a, b) => sign * byKey(a.process, b.process) || a.process.pid - b.process.pid);
    } else {
      const place = new Map([...this.body.rows].map((row, i) => [row, i]));
      matching.sort((a, b) => (place.get(a.element) ?? Infinity) - (place.get(b.element) ?? Infinity));
    }
    const wanted = matching.map((row) => row.element);
    const stale = wanted.length !== this.body.rows.length || wanted.some((row, i) => row !== this.body.rows[i]);
    if (stale) this.place(wanted);
    return wanted.length;
  }

  // Moving a row takes the focus from it.
  place(rows) {
    const focused = document.activeElement;
    this.body.replaceChildren(...rows);
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }
}

class Row {
  constructor(open) {
    this.element = document.createElement("tr");
    this.button = document.createElement("button");
    this.pid = cell("span", "pid");
    this.tls = cell("span", "pid");
    this.tls.title = "TLS connections whose requests cannot be seen";
    this.container = cell("td", "wide container");
    this.rate = cell("td", "number rate");
    this.errors = cell("td", "number");
    this.p50 = cell("td", "number wide");
    this.p90 = cell("td", "number wide");
    this.p99 = cell("td", "number");
    this.max = cell("td", "number wide");
    this.sparkline = new Sparkline();
    this.bar = cell("div", "bar");
    this.bar.setAttribute("role", "img");
    const name = cell("th", "name");
    name.scope = "row";
    name.append(this.button, this.pid, this.tls);
    const graph = cell("td", "graph");
    graph.append(this.sparkline.element);
    const status = cell("td", "wide status");
    status.append(this.bar);
    // Laid out as a grid, which some take for no table any more.
    this.element.role = "row";
    name.role = "rowheader";
    for (const it of [this.container, this.rate, graph, this.errors, this.p50, this.p90, this.p99, this.max, status]) it.role = "cell";
    this.element.append(name, this.container, this.rate, graph, this.errors, this.p50, this.p90, this.p99, this.max, status);
    this.element.addEventListener("click", open);
  }

  show(process) {
    this.process = process;
    write(this.button, process.name);
    write(this.pid, String(process.pid));
    write(this.tls, process.tls_unseen ? `${count(process.tls_unseen)} TLS unseen` : "");
    write(this.container, process.container?.slice(0, 12) ?? NOTHING);
    write(this.rate, rate(process.requests_per_second));
    write(this.errors, share(process.errors));
    write(this.p50, duration(process.p50_ms));
    write(this.p90, duration(process.p90_ms));
    write(this.p99, duration(process.p99_ms));
    write(this.max, duration(process.max_ms));
    this.container.title = process.container ?? "";
    this.errors.classList.toggle("bad", process.errors > 0);
    this.element.classList.toggle("exited", process.exited);
    this.sparkline.show(process.points.map((point) => point.requests));
    this.showBar(process.answers);
  }

  showBar(answers) {
    // What has no code of its own comes as 0.
    const entries = Object.entries(answers).map(([status, count]) => [status === "0" ? "other" : status, count]);
    const all = entries.reduce((sum, [, count]) => sum + count, 0);
    const text = entries.map(([status, count]) => `${status}: ${count}`).join(", ");
    if (text === this.shownAnswers) return;
    this.shownAnswers = text;
    this.bar.title = text;
    this.bar.setAttribute("aria-label", text || "no answers in the last minute");
    this.bar.replaceChildren(
      ...entries.map(([status, count]) => {
        const part = document.createElement("i");
        part.className = `s${status[0]}`;
        part.style.flexGrow = count;
        part.textContent = count > all * 0.15 ? status : "";
        return part;
      }),
    );
  }

  matches(filter) {
    const { name, pid, container } = this.process;
    return !filter || [name, String(pid), container ?? ""].some((it) => it.toLowerCase().includes(filter));
  }
}

function cell(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
