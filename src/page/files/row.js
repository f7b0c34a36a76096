// SPDX-License-Identifier: Apache-2.0
// A row as it is seen. It is used for one after the other, as they come into sight.

import { Sparkline } from "./chart.js";
import { NOTHING, count, duration, rate, share } from "./format.js";
import { nameOf, whereOf } from "./rows.js";
import { make, write } from "./write.js";

export class RowView {
  constructor(open) {
    this.element = make("tr");
    this.button = make("button");
    this.about = make("span", "about");
    this.notes = make("span", "notes");
    this.where = make("td", "where broad");
    this.port = make("td", "number broad");
    this.rate = make("td", "number rate");
    this.sparkline = new Sparkline();
    this.peak = make("span", "peak");
    this.peak.title = "The busiest second of the last minute, in requests";
    this.clientErrors = make("td", "number wide");
    this.serverErrors = make("td", "number");
    this.p50 = make("td", "number broad");
    this.p90 = make("td", "number broad");
    this.p99 = make("td", "number");
    this.max = make("td", "number wide");
    this.bar = make("div", "bar");
    this.bar.setAttribute("role", "img");
    const name = make("th", "name");
    name.scope = "row";
    name.append(this.button, this.about, this.notes);
    const graph = make("td", "graph");
    graph.append(this.sparkline.element, this.peak);
    const status = make("td", "wide status");
    status.append(this.bar);
    const cells = [this.where, this.port, this.rate, graph, this.clientErrors, this.serverErrors, this.p50, this.p90, this.p99, this.max, status];
    // Laid out as a grid, which some take for no table any more.
    this.element.role = "row";
    name.role = "rowheader";
    for (const cell of cells) cell.role = "cell";
    this.element.append(name, ...cells);
    this.element.addEventListener("click", () => open(this.row.id));
  }

  show(row, index, selected) {
    this.row = row;
    const { element } = this;
    element.setAttribute("aria-rowindex", index + 2);
    if (selected) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
    element.classList.toggle("exited", row.exited);
    write(this.button, nameOf(row));
    write(this.about, aboutOf(row));
    write(this.notes, notesOf(row));
    write(this.where, whereOf(row) || NOTHING);
    this.where.title = [row.container, row.pod && `pod ${row.pod}`, row.unit].filter(Boolean).join(", ");
    write(this.port, String(row.port ?? NOTHING));
    write(this.rate, rate(row.requests_per_second));
    write(this.clientErrors, share(row.clientErrors));
    write(this.serverErrors, share(row.serverErrors));
    this.serverErrors.classList.toggle("bad", row.serverErrors > 0);
    write(this.p50, duration(row.p50_ms));
    write(this.p90, duration(row.p90_ms));
    write(this.p99, duration(row.p99_ms));
    write(this.max, duration(row.max_ms));
    const peak = Math.max(0, ...row.points);
    this.sparkline.show(row.points, peak);
    write(this.peak, peak ? rate(peak) : "");
    this.showBar(row.answers);
  }

  showBar(answers) {
    // What has no code of its own comes as 0.
    const entries = Object.entries(answers).map(([status, number]) => [{ 0: "other", 1: "unknown" }[status] ?? status, number]);
    const all = entries.reduce((sum, [, number]) => sum + number, 0);
    const text = entries.map(([status, number]) => `${status}: ${number}`).join(", ");
    if (text === this.shownAnswers) return;
    this.shownAnswers = text;
    this.bar.title = text;
    this.bar.setAttribute("aria-label", text || "no answers in the last minute");
    this.bar.replaceChildren(
      ...entries.map(([status, number]) => {
        const part = make("i", `s${status[0]}`, number > all * 0.15 ? status : "");
        part.style.flexGrow = number;
        return part;
      }),
    );
  }
}

function aboutOf({ pid, processes, executables = [], name }) {
  if (pid !== undefined) return String(pid);
  const others = executables.filter((it) => it !== name);
  return [processes === 1 ? "1 process" : `${count(processes)} processes`, ...others].join(", ");
}

function notesOf({ exited, tls_unseen: unseen, failed_calls: failed }) {
  const notes = [exited && "exited", failed && `${count(failed)} gRPC failed`, unseen && `${count(unseen)} TLS unseen`];
  return notes.filter(Boolean).join(", ");
}
