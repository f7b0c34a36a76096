// SPDX-License-Identifier: Apache-2.0
// Follows the agent's events and shows what they say.

import { SECONDS } from "./chart.js";
import { Detail } from "./detail.js";
import { count, rate, share } from "./format.js";
import { Table, write } from "./table.js";

const RETRY_MS = 1000;
// Events come each second: this long without one, and the connection is as good as lost.
const SILENCE_MS = 5000;

const part = (id) => document.getElementById(id);
const processes = new Map();
const detail = new Detail(part("detail"));
const table = new Table(part("processes"), (id) => detail.open(id, processes.get(id)));
let source;
let silence;

connect();
part("filter").addEventListener("input", () => showMatches(table.find(part("filter").value)));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !part("detail").open && document.activeElement !== part("filter")) {
    event.preventDefault();
    part("filter").focus();
  }
});

function connect() {
  source?.close();
  source = new EventSource("events");
  source.addEventListener("message", (event) => {
    listen();
    state("live", "Live");
    show(JSON.parse(event.data));
  });
  // Nothing is left to the browser, since it gives up where the agent answers that it is busy.
  source.addEventListener("error", lost);
  listen();
}

function listen() {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENCE_MS);
}

function lost() {
  source.close();
  clearTimeout(silence);
  state("lost", "Connection lost, trying again…");
  silence = setTimeout(connect, RETRY_MS);
}

function state(name, text) {
  part("connection").dataset.state = name;
  document.body.classList.toggle("stale", name !== "live");
  write(part("connection"), text);
}

function show(view) {
  take(view);
  write(part("host"), view.host);
  write(part("agent"), `scope-http-statistics ${view.version}, backend ${view.backend}`);
  showMissed(view.missed);
  part("waiting").hidden = processes.size > 0;
  part("overview").hidden = processes.size === 0;
  part("hidden").hidden = view.hidden === 0;
  write(part("hidden"), `${count(view.hidden)} more processes, less busy than these, are not shown.`);
  showFigures(view.hidden);
  showMatches(table.show(processes));
  detail.update(processes);
}

// A whole view replaces what is known, any other adds to it.
function take(view) {
  const known = new Set();
  for (const process of view.processes) {
    const id = `${process.pid}-${process.start_time}`;
    const before = view.whole ? undefined : processes.get(id);
    const points = process.points.map(({ requests = 0, answers = [0, 0, 0, 0, 0], p50_ms = null, p99_ms = null }) => ({
      requests,
      answers,
      p50_ms,
      p99_ms,
    }));
    process.points = [...(before?.points ?? []), ...points].slice(-SECONDS);
    process.series ??= before?.series ?? [];
    process.errors = errors([process]);
    known.add(id);
    processes.set(id, process);
  }
  for (const id of processes.keys()) {
    if (!known.has(id)) processes.delete(id);
  }
}

// The share of answers that say the server failed; null where there are none.
function errors(all) {
  let answers = 0;
  let failed = 0;
  for (const [status, number] of all.flatMap((it) => Object.entries(it.answers))) {
    answers += number;
    if (status >= 500) failed += number;
  }
  return answers ? failed / answers : null;
}

function showFigures(hidden) {
  const all = [...processes.values()];
  write(part("total-rate"), rate(all.reduce((sum, it) => sum + it.requests_per_second, 0)));
  write(part("total-processes"), count(all.filter((it) => !it.exited).length + hidden));
  write(part("total-errors"), share(errors(all)));
}

function showMatches(number) {
  const filtered = part("filter").value.trim() !== "";
  write(part("matches"), filtered ? `${count(number)} of ${count(processes.size)}` : "");
  part("none").hidden = number > 0;
}

function showMissed(missed) {
  const some = Object.entries(missed).filter(([, number]) => number > 0);
  const text = some.map(([reason, number]) => `${reason.replaceAll("_", " ")} ${count(number)}`).join(", ");
  write(part("missed"), text ? `Missed: ${text}` : "Nothing missed");
  part("missed").classList.toggle("bad", some.length > 0);
}
