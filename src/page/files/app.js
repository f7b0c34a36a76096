// SPDX-License-Identifier: Apache-2.0
// Shows what the agent's events say, and does what people ask for.

import { Chart, byClass } from "./chart.js";
import { Detail } from "./detail.js";
import { NOTHING, count, rate, share, time } from "./format.js";
import { Missed } from "./missed.js";
import { Rows, share as shareOf } from "./rows.js";
import { change, state } from "./state.js";
import { Stream } from "./stream.js";
import { Table } from "./table.js";
import { write } from "./write.js";

const part = (id) => document.getElementById(id);
const rows = new Rows();
const detail = new Detail(part("detail"));
const missed = new Missed(part("missed"));
const totals = new Chart(part("total-chart"), part("total-legend"), {
  stacked: true,
  format: (value) => (value === null ? NOTHING : rate(value)),
});
const table = new Table(part("rows"), { open, arranged });
const stream = new Stream(show, connected);
// The latest event that is shown.
let latest;
let paused = false;

for (const button of document.querySelectorAll("[data-by]")) button.addEventListener("click", () => group(button.dataset.by));
for (const button of document.querySelectorAll("[data-range]")) button.addEventListener("click", () => reach(button.dataset.range));
for (const name of ["idle", "exited"]) {
  part(`hide-${name}`).checked = state[name] === "hidden";
  part(`hide-${name}`).addEventListener("change", (event) => {
    change({ [name]: event.target.checked ? "hidden" : "shown" });
    table.arrange(true);
  });
}
part("filter").value = state.filter;
part("filter").addEventListener("input", () => {
  change({ filter: part("filter").value });
  table.arrange(true);
});
part("pause").addEventListener("click", pause);
part("missed").addEventListener("toggle", () => latest && missed.show(latest.missed));
document.addEventListener("keydown", pressed);
mark();
stream.follow(state.by);

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || part("detail").open) return;
  if (event.key === "Escape") {
    if (document.activeElement === part("filter")) part("filter").blur();
    table.letGo();
    return;
  }
  if (document.activeElement === part("filter")) return;
  const act = { j: () => table.move(1), k: () => table.move(-1), "/": () => part("filter").focus(), p: pause }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

// What is one click apart is known by the agent, each apart.
function group(by) {
  if (by === state.by) return;
  change({ by, row: "" });
  mark();
  paused = false;
  stream.follow(by);
}

function reach(range) {
  change({ range });
  mark();
  showTotals();
  detail.draw();
}

function pause() {
  paused = !paused;
  mark();
  // What was missed meanwhile is in a whole event.
  if (!paused) stream.follow(state.by);
}

function mark() {
  for (const button of document.querySelectorAll("[data-by]")) button.setAttribute("aria-pressed", button.dataset.by === state.by);
  for (const button of document.querySelectorAll("[data-range]")) button.setAttribute("aria-pressed", button.dataset.range === state.range);
  part("pause").setAttribute("aria-pressed", paused);
  write(part("pause"), paused ? `Paused at ${time(latest?.date ?? Date.now())}` : "Pause");
  write(part("what"), { process: "Process", workload: "Workload", container: "Container", unit: "Unit" }[state.by]);
}

function connected(is) {
  part("connection").dataset.state = is ? "live" : "lost";
  document.body.classList.toggle("stale", !is);
  write(part("connection"), is ? "Live" : "Connection lost, trying again…");
}

function show(event) {
  if (paused) return;
  latest = event;
  rows.take(event);
  write(part("host"), event.host);
  write(part("agent"), `scope-http-statistics ${event.version}, backend ${event.backend}`);
  missed.show(event.missed);
  part("waiting").hidden = rows.size > 0;
  part("overview").hidden = rows.size === 0;
  part("hidden").hidden = event.hidden === 0;
  write(part("hidden"), `${count(event.hidden)} more, less busy than these, are not shown.`);
  showTotals();
  table.show(rows);
  const asked = rows.get(state.row);
  if (asked && detail.id === null) detail.open(asked);
  else detail.update(rows);
}

function showTotals() {
  if (!latest) return;
  const { total, date } = latest;
  write(part("total-rate"), rate(total.requests_per_second));
  write(part("total-processes"), count(total.processes));
  write(part("total-client-errors"), share(shareOf(total.answers, 400, 499)));
  write(part("total-server-errors"), share(shareOf(total.answers, 500, 999)));
  const isHour = state.range === "hour";
  totals.show(byClass(isHour ? total.minutes : total.seconds), date, isHour ? 60000 : 1000);
}

function open(id) {
  const row = rows.get(id);
  if (row) detail.open(row);
}

function arranged(number, waiting) {
  const all = rows.size;
  write(part("matches"), number < all ? `${count(number)} of ${count(all)}` : "");
  part("none").hidden = number > 0;
  const rowsWait = waiting === 1 ? "1 row waits" : `${count(waiting)} rows wait`;
  write(part("held"), waiting ? `${rowsWait} to move: the order is held while you point at it (Esc lets go)` : "");
}
