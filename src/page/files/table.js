// SPDX-License-Identifier: Apache-2.0
// The table. Only rows that are in sight are in the document, so that thousands stay smooth.

import { RowView } from "./row.js";
import { TEXTS, matches, sorted } from "./rows.js";
import { change, state } from "./state.js";

// Rows that are there above and below those in sight.
const MARGIN = 8;

export class Table {
  order = [];
  views = new Map();
  spare = [];
  selected = null;
  pointed = false;

  // `arranged` is told how many rows there are, and how many wait to move.
  constructor(element, { open, arranged }) {
    this.element = element;
    this.body = element.tBodies[0];
    Object.assign(this, { open, arranged, rows: new Map() });
    for (const header of element.querySelectorAll("th[data-sort]")) {
      header.querySelector("button").addEventListener("click", () => this.sortBy(header.dataset.sort));
    }
    this.markSort();
    let waiting = false;
    const render = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        this.render();
      });
    };
    addEventListener("scroll", render, { passive: true });
    addEventListener("resize", render);
    // A finger points at nothing once it is lifted.
    this.body.addEventListener("pointerenter", (event) => (this.pointed = event.pointerType !== "touch"));
    this.body.addEventListener("pointerleave", () => {
      this.pointed = false;
      this.arrange(false);
    });
    this.body.addEventListener("focusout", () => setTimeout(() => this.arrange(false)));
    this.body.addEventListener("focusin", (event) => this.focused(event.target));
  }

  sortBy(sort) {
    const turned = { down: "up", up: "down" }[state.order];
    change({ sort, order: state.sort === sort ? turned : TEXTS.includes(sort) ? "up" : "down" });
    this.markSort();
    this.arrange(true);
  }

  markSort() {
    for (const header of this.element.querySelectorAll("th[data-sort]")) {
      const order = state.order === "down" ? "descending" : "ascending";
      header.setAttribute("aria-sort", header.dataset.sort === state.sort ? order : "none");
    }
  }

  show(rows) {
    this.rows = rows;
    this.arrange(false);
  }

  // Nothing moves away from under a pointer or the keyboard's focus.
  arrange(asked) {
    const wanted = sorted([...this.rows.values()].filter(matches));
    let waiting = 0;
    if (asked || !this.isInUse()) {
      this.order = wanted;
    } else {
      const matching = new Set(wanted.map((row) => row.id));
      const kept = this.order.map((row) => row.id).filter((id) => matching.has(id));
      const placed = new Set(kept);
      const come = wanted.filter((row) => !placed.has(row.id));
      this.order = [...kept.map((id) => this.rows.get(id)), ...come];
      waiting = this.order.filter((row, i) => row !== wanted[i]).length;
    }
    this.render();
    this.arranged(this.order.length, waiting);
  }

  isInUse() {
    return this.pointed || this.body.contains(document.activeElement);
  }

  render() {
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    const { order, body } = this;
    const top = body.getBoundingClientRect().top;
    const first = Math.max(0, Math.min(order.length, Math.floor(-top / height) - MARGIN));
    const last = Math.max(first, Math.min(order.length, Math.ceil((innerHeight - top) / height) + MARGIN));
    const shown = order.slice(first, last);
    const ids = new Set(shown.map((row) => row.id));
    for (const [id, view] of this.views) {
      if (ids.has(id)) continue;
      this.views.delete(id);
      this.spare.push(view);
    }
    const elements = shown.map((row, i) => {
      const view = this.views.get(row.id) ?? this.spare.pop() ?? new RowView((id) => this.open(id));
      this.views.set(row.id, view);
      view.show(row, first + i, row.id === this.selected);
      return view.element;
    });
    this.element.setAttribute("aria-rowcount", order.length + 1);
    body.style.paddingTop = `${first * height}px`;
    body.style.paddingBottom = `${(order.length - last) * height}px`;
    const stale = elements.length !== body.rows.length || elements.some((row, i) => row !== body.rows[i]);
    if (stale) this.place(elements);
  }

  // Moving a row takes the focus from it.
  place(rows) {
    const focused = document.activeElement;
    const held = this.body.contains(focused);
    this.body.replaceChildren(...rows);
    if (!held || focused === document.activeElement) return;
    const view = this.views.get(this.selected);
    if (view) view.button.focus({ preventScroll: true });
  }

  focused(target) {
    const view = [...this.views.values()].find((it) => it.element.contains(target));
    if (view && view.row.id !== this.selected) this.select(view.row.id);
  }

  select(id) {
    this.selected = id;
    for (const view of this.views.values()) view.element.toggleAttribute("aria-current", false);
    this.views.get(id)?.element.setAttribute("aria-current", "true");
  }

  // The next row or the one before gets the focus.
  move(by) {
    if (!this.order.length) return;
    const at = this.order.findIndex((row) => row.id === this.selected);
    const next = at < 0 ? 0 : Math.min(this.order.length - 1, Math.max(0, at + by));
    this.select(this.order[next].id);
    this.reveal(next);
    this.render();
    this.views.get(this.selected)?.button.focus({ preventScroll: true });
  }

  // Below what stays at the top of the window.
  reveal(index) {
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    const above = document.querySelector("header").offsetHeight;
    const top = this.body.getBoundingClientRect().top + index * height;
    if (top < above) scrollBy(0, top - above);
    else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight);
  }

  letGo() {
    if (this.body.contains(document.activeElement)) document.activeElement.blur();
    this.select(null);
  }
}
