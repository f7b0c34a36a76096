// SPDX-License-Identifier: Apache-2.0
// One process, opened: its graphs and all of its series.

import { Chart } from "./chart.js";
import { NOTHING, count, duration, rate } from "./format.js";
import { write } from "./table.js";

const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"];

export class Detail {
  constructor(dialog) {
    const part = (name) => document.getElementById(name);
    this.dialog = dialog;
    this.part = part;
    this.id = null;
    this.status = new Chart(part("status-chart"), part("status-legend"), {
      stacked: true,
      format: (value) => (value === null ? NOTHING : rate(value)),
    });
    this.latency = new Chart(part("latency-chart"), part("latency-legend"), { stacked: false, format: duration });
    part("detail-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    dialog.addEventListener("close", () => (this.id = null));
  }

  open(id, process) {
    this.id = id;
    this.part("detail-state").textContent = "exited";
    this.dialog.showModal();
    this.show(process);
  }

  // A process that is no longer there stays as it was last seen.
  update(processes) {
    if (this.id === null) return;
    const process = processes.get(this.id);
    if (process) this.show(process);
    else this.part("detail-state").hidden = false;
  }

  show(process) {
    write(this.part("detail-name"), process.name);
    write(this.part("detail-pid"), String(process.pid));
    write(this.part("detail-requests"), count(process.requests));
    write(this.part("detail-tls"), count(process.tls_unseen ?? 0));
    write(this.part("detail-p50"), duration(process.p50_ms));
    write(this.part("detail-p90"), duration(process.p90_ms));
    write(this.part("detail-p99"), duration(process.p99_ms));
    write(this.part("detail-max"), duration(process.max_ms));
    write(this.part("detail-container"), process.container ?? "none");
    this.part("detail-state").hidden = !process.exited;

    const { points } = process;
    this.status.show(
      CLASSES.map((name, i) => ({ name, className: `s${i + 1}`, values: points.map((point) => point.answers[i]) })).filter(
        ({ values }, i) => i === 1 || values.some((value) => value > 0),
      ),
    );
    this.latency.show([
      { name: "p50", className: "p50", values: points.map((point) => point.p50_ms) },
      { name: "p99", className: "p99", values: points.map((point) => point.p99_ms) },
    ]);
    this.showSeries(process.series);
  }

  showSeries(series) {
    const status = (it) => {
      if (it.method === "gRPC") return { 4094: "other", 4095: "unknown" }[it.status] ?? it.status;
      return { 0: "other", 1: "unknown" }[it.status] ?? it.status;
    };
    const rows = series.map((it) => [
      it.method,
      status(it),
      it.version,
      count(it.count),
      duration(it.mean_ms),
      duration(it.p50_ms),
      duration(it.p90_ms),
      duration(it.p99_ms),
      duration(it.max_ms),
    ]);
    const body = this.part("series").tBodies[0];
    while (body.rows.length > rows.length) body.deleteRow(-1);
    while (body.rows.length < rows.length) {
      const row = body.insertRow();
      for (let i = 0; i < 9; i++) row.insertCell().className = i > 2 ? "number" : "";
    }
    rows.forEach((values, n) => {
      const { cells } = body.rows[n];
      values.forEach((value, i) => write(cells[i], String(value)));
      const failed = series[n].method === "gRPC" ? (series[n].status ? 5 : 2) : String(series[n].status)[0];
      cells[1].className = `code s${failed}`;
    });
  }
}
