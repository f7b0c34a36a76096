// SPDX-License-Identifier: Apache-2.0
// One row, opened: its graphs, how it was started, and all of its series.

import { Chart, byClass } from "./chart.js";
import { NOTHING, count, duration, rate, time } from "./format.js";
import { Heatmap } from "./heatmap.js";
import { nameOf } from "./rows.js";
import { change, state } from "./state.js";
import { make, write } from "./write.js";

// By their numbers, of gRPC.
const CODES = [
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
  "UNAUTHENTICATED",
];

export class Detail {
  constructor(dialog) {
    const part = (name) => document.getElementById(`detail-${name}`);
    Object.assign(this, { dialog, part, id: null, latest: null, asked: 0 });
    this.status = new Chart(part("status-chart"), part("status-legend"), {
      stacked: true,
      format: (value) => (value === null ? NOTHING : rate(value)),
    });
    this.latency = new Chart(part("latency-chart"), part("latency-legend"), { stacked: false, format: duration });
    this.heat = new Heatmap(part("heat-chart"), part("heat-legend"));
    part("close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      this.id = null;
      change({ row: "" });
    });
  }

  open(row) {
    if (this.id === row.id) return;
    Object.assign(this, { id: row.id, latest: null });
    change({ row: row.id });
    this.dialog.showModal();
    write(this.part("command"), "");
    write(this.part("date"), "");
    this.part("command-line").hidden = row.pid === undefined;
    this.showSeries([]);
    this.show(row);
    if (row.pid !== undefined) this.askCommand(row.id);
  }

  // A row that is no longer there stays as it was last seen.
  update(rows) {
    if (this.id === null) return;
    const row = rows.get(this.id);
    if (row) this.show(row);
    else write(this.part("state"), "gone");
  }

  show(row) {
    const where = [row.container && `container ${row.container}`, row.pod && `pod ${row.pod}`, row.unit].filter(Boolean).join(", ");
    const facts = {
      name: nameOf(row),
      state: row.exited ? "exited" : "",
      pid: row.pid === undefined ? `${count(row.processes)} of ${row.executables.join(", ")}` : String(row.pid),
      port: String(row.port ?? NOTHING),
      requests: count(row.requests),
      failed: count(row.failed_calls),
      tls: count(row.tls_unseen),
      p50: duration(row.p50_ms),
      p90: duration(row.p90_ms),
      p99: duration(row.p99_ms),
      max: duration(row.max_ms),
      where: where || NOTHING,
    };
    for (const [name, text] of Object.entries(facts)) write(this.part(name), text);
    write(this.part("pid-name"), row.pid === undefined ? "Processes" : "Pid");
    this.ask();
  }

  async ask() {
    const asked = ++this.asked;
    const { id } = this;
    const answer = await fetch(`row?by=${state.by}&id=${id}`).catch(() => null);
    if (!answer?.ok) return;
    const latest = await answer.json();
    // Another row may have been opened meanwhile, or an answer have overtaken this one.
    if (id !== this.id || asked < this.asked) return;
    this.latest = latest;
    write(this.part("date"), `as of ${time(latest.date)}`);
    this.draw();
  }

  draw() {
    if (!this.latest) return;
    const { date, series } = this.latest;
    const step = state.range === "hour" ? 60000 : 1000;
    const { points, heat } = state.range === "hour" ? this.latest.minutes : this.latest.seconds;
    const values = (name) => points.map((it) => it[name] ?? null);
    this.status.show(byClass(points), date, step);
    this.latency.show(
      [
        { name: "p50", className: "p50", values: values("p50_ms") },
        { name: "p99", className: "p99", values: values("p99_ms") },
      ],
      date,
      step,
    );
    this.heat.show(heat, date, step);
    this.showSeries(series);
  }

  async askCommand(id) {
    const answer = await fetch(`command-line?id=${id}`).catch(() => null);
    const text = !answer ? "" : answer.ok ? words(await answer.json()) : await answer.text();
    if (id === this.id) write(this.part("command"), text.trim() || NOTHING);
  }

  showSeries(series) {
    const body = this.part("series").tBodies[0];
    while (body.rows.length > series.length) body.deleteRow(-1);
    while (body.rows.length < series.length) {
      const row = body.insertRow();
      for (let i = 0; i < 9; i++) row.append(make("td", i > 2 ? "number" : ""));
    }
    series.forEach((it, n) => {
      const { cells } = body.rows[n];
      const durations = [it.mean_ms, it.p50_ms, it.p90_ms, it.p99_ms, it.max_ms].map(duration);
      [it.method, statusOf(it), it.version, count(it.count), ...durations].forEach((text, i) => write(cells[i], text));
      const failed = it.method === "gRPC" ? (it.status ? 5 : 2) : String(it.status)[0];
      cells[1].className = `code s${failed}`;
    });
  }
}

function statusOf({ method, status }) {
  if (method !== "gRPC") return { 0: "other", 1: "unknown" }[status] ?? String(status);
  return { 4094: "other", 4095: "unknown" }[status] ?? (CODES[status] ? `${status} ${CODES[status]}` : String(status));
}

// As a shell would take them, so that arguments are told apart.
function words({ arguments: all, is_cut: isCut }) {
  const quoted = all.map((it) => (/^[\w@%+=:,./-]+$/.test(it) ? it : `'${it.replaceAll("'", "'\\''")}'`));
  return quoted.join(" ") + (isCut ? "…" : "");
}
