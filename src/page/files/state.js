// SPDX-License-Identifier: Apache-2.0
// What is looked at and how, which is the page's address: it can be kept and sent to others.

// The first of each is what an address without it means. What has no list may be anything.
const KNOWN = {
  by: ["process", "workload", "container", "unit"],
  sort: ["rate", "name", "where", "port", "clientErrors", "serverErrors", "p50", "p90", "p99", "max"],
  order: ["down", "up"],
  range: ["minute", "hour"],
  idle: ["shown", "hidden"],
  exited: ["shown", "hidden"],
  filter: null,
  row: null,
};

export const state = {};
const given = new URLSearchParams(location.search);
for (const [name, values] of Object.entries(KNOWN)) {
  const value = given.get(name) ?? "";
  state[name] = values && !values.includes(value) ? values[0] : value;
}

export function change(changes) {
  Object.assign(state, changes);
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(KNOWN)) {
    if (state[name] !== (values ? values[0] : "")) query.set(name, state[name]);
  }
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}
