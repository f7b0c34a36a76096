// SPDX-License-Identifier: Apache-2.0
// What is known of all rows, from one event to the next.

import { SECONDS } from "./chart.js";
import { state } from "./state.js";

export class Rows extends Map {
  // A whole event replaces what is known, any other adds to it.
  take(event) {
    const told = new Set();
    for (const row of event.rows) {
      const before = event.whole ? undefined : this.get(row.id);
      row.points = [...(before?.points ?? []), ...row.points].slice(-SECONDS);
      row.clientErrors = share(row.answers, 400, 499);
      row.serverErrors = share(row.answers, 500, 999);
      row.idle = row.points.every((it) => it === 0) && Object.keys(row.answers).length === 0;
      told.add(row.id);
      this.set(row.id, row);
    }
    // Who is not told of is as before, unless it has exited.
    for (const [id, row] of this) {
      if (!told.has(id) && (event.complete || row.exited)) this.delete(id);
    }
  }
}

// The share of answers that have such a status; null where there are no answers.
export function share(answers, from, to) {
  let all = 0;
  let some = 0;
  for (const [status, number] of Object.entries(answers)) {
    all += number;
    if (status >= from && status <= to) some += number;
  }
  return all ? some / all : null;
}

const KEYS = {
  name: (it) => nameOf(it).toLowerCase(),
  where: (it) => whereOf(it),
  port: (it) => it.port ?? -1,
  rate: (it) => it.requests_per_second,
  clientErrors: (it) => it.clientErrors ?? -1,
  serverErrors: (it) => it.serverErrors ?? -1,
  p50: (it) => it.p50_ms ?? -1,
  p90: (it) => it.p90_ms ?? -1,
  p99: (it) => it.p99_ms ?? -1,
  max: (it) => it.max_ms ?? -1,
};
export const TEXTS = ["name", "where"];

// In order, as `state` says.
export function sorted(rows) {
  const key = KEYS[state.sort];
  const sign = state.order === "down" ? -1 : 1;
  const keyed = rows.map((row) => [key(row), row]);
  keyed.sort(([a, one], [b, other]) => (a < b ? -sign : a > b ? sign : one.id < other.id ? -1 : 1));
  return keyed.map(([, row]) => row);
}

export function matches(row) {
  if (state.idle === "hidden" && row.idle) return false;
  if (state.exited === "hidden" && row.exited) return false;
  const filter = state.filter.trim().toLowerCase();
  if (!filter) return true;
  const { pid, port, container, pod, unit, executables = [] } = row;
  const texts = [nameOf(row), pid, port, container, pod, unit, ...executables];
  return texts.some((it) => it !== undefined && String(it).toLowerCase().includes(filter));
}

export function nameOf(row) {
  if (row.name === null) return `no ${state.by}`;
  return row.pid === undefined && row.name === row.container ? row.name.slice(0, 12) : row.name;
}

// Where it runs, as short as it can be told.
export function whereOf({ name, container, unit }) {
  if (container !== undefined && container !== name) return container.slice(0, 12);
  return unit !== undefined && unit !== name ? unit : "";
}
