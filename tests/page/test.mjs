// SPDX-License-Identifier: Apache-2.0
// Drives the page in a real browser. Arguments: where the page is, and what it has to show of two processes as JSON.
// It says "restart" when the agent shall be stopped, and "lost" when it shall be started again.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [address, expectations] = process.argv.slice(2);
const { asked, steady } = JSON.parse(expectations);
const LIMIT = 30000;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

async function open(options = {}, { fake = false } = {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 }, ...options });
  page.setDefaultTimeout(LIMIT);
  page.problems = [];
  page.requests = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.problems.push(message.text()));
  page.on("dialog", (dialog) => page.problems.push(`a dialog: ${dialog.message()}`));
  page.on("request", (request) => page.requests.push(request.url()));
  if (fake) await page.addInitScript(pretend);
  await page.goto(address);
  return page;
}

// Instead of the agent's events the page gets those that the test feeds it.
function pretend() {
  window.EventSource = class extends EventTarget {
    constructor() {
      super();
      window.feed = (view) => this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(view) }));
    }
    close() {}
  };
}

const row = (page, { pid }) =>
  page.locator("#processes tbody tr").filter({ has: page.getByText(String(pid), { exact: true }) });

async function until(what, condition) {
  const start = Date.now();
  while (!(await condition())) {
    assert.ok(Date.now() - start < LIMIT, `${what}: not in ${LIMIT} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function showsWhatWasAsked(page) {
  const asking = row(page, asked);
  const statuses = Object.entries(asked.answers);
  const bar = statuses.map(([status, count]) => `${status}: ${count}`).join(", ");
  await until("all answers", async () => (await asking.locator(".bar").getAttribute("aria-label")) === bar);
  const all = statuses.reduce((sum, [, count]) => sum + count, 0);
  const share = (100 * asked.answers[500]) / all;
  const cells = await asking.locator("td").allTextContents();
  assert.equal(await asking.locator("th button").textContent(), asked.name);
  assert.equal(cells[3], `${share.toFixed(1)} %`);
  assert.match(cells[4], /^[3-9]\d\.\d ms$/);

  await asking.locator("th button").click();
  const detail = page.getByRole("dialog", { name: asked.name });
  await detail.waitFor();
  assert.equal(await page.locator("#detail-requests").textContent(), String(all));
  const series = await detail.locator("#series tbody tr").evaluateAll((rows) =>
    rows.map((it) => [...it.cells].slice(0, 4).map((cell) => cell.textContent)),
  );
  assert.deepEqual(
    series,
    statuses.map(([status, count]) => ["GET", status, "1.1", String(count)]),
  );
  assert.match(await page.locator("#status-chart").getAttribute("aria-label"), /^2xx /);
  await page.screenshot({ path: "detail.png" });
  await page.keyboard.press("Escape");
  await detail.waitFor({ state: "hidden" });
}

async function graphMoves(page) {
  const line = row(page, steady).locator(".sparkline .line");
  const seen = new Set();
  await until("a graph that moves", async () => seen.add(await line.getAttribute("d")).size > 3);
  const rate = () => row(page, steady).locator(".rate").textContent();
  await until("a rate", async () => Number(await rate()) > 0);
  const total = await page.locator("#total-rate").textContent();
  assert.ok(Number(total.replaceAll(",", "")) > 0, total);
}

async function sortsFiltersAndIsUsedByKeyboard(page) {
  const name = page.getByRole("columnheader", { name: "Process" });
  await name.getByRole("button").click();
  assert.equal(await name.getAttribute("aria-sort"), "ascending");
  const names = await page.locator("#processes tbody th button").allTextContents();
  const lower = names.map((it) => it.toLowerCase());
  assert.deepEqual(lower, [...lower].sort());
  await name.getByRole("button").click();
  assert.equal(await name.getAttribute("aria-sort"), "descending");

  await page.keyboard.press("/");
  await page.keyboard.type(String(asked.pid));
  await until("a filtered table", async () => (await page.locator("#processes tbody tr").count()) === 1);
  assert.match(await page.locator("#matches").textContent(), /^1 of \d+$/);
  for (const header of ["Container", "Requests/s", "Errors", "p50", "p90", "p99", "max", "a process"]) await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#filter").fill("no such process");
  await page.getByText("No process matches the filter.").waitFor();
  await page.locator("#filter").fill("");
}

async function saysWhereItStands(page) {
  const footer = page.locator("footer");
  assert.match(await footer.textContent(), /backend (sock|syscall)/);
  assert.match(await footer.textContent(), /Nothing missed|Missed: /);
  assert.equal(await page.getByRole("status").first().textContent(), "Live");
}

async function comesBack(page) {
  console.log("restart");
  const state = page.locator("#connection");
  await until("a lost connection", async () => (await state.getAttribute("data-state")) === "lost");
  assert.match(await state.textContent(), /lost/);
  console.log("lost");
  await until("a connection again", async () => (await state.getAttribute("data-state")) === "live");
  // The new agent has seen nothing of the old one's traffic, but sees what goes on.
  await graphMoves(page);
}

const process_ = (i, overrides = {}) => ({
  pid: 1000 + i,
  start_time: 1,
  name: `server-${i % 37}`,
  container: i % 2 ? null : String(i).padStart(64, "0"),
  exited: false,
  requests: i,
  requests_per_second: i * Math.random(),
  answers: { 200: 97 + i, 404: 3, 500: i % 3 },
  p50_ms: 0.25,
  p90_ms: 3,
  p99_ms: 12,
  max_ms: 120,
  points: Array.from({ length: 60 }, () => ({ requests: Math.random() * i, answers: [0, i, 0, 1, 0], p50_ms: 1, p99_ms: 2 })),
  series: [],
  ...overrides,
});

const view = (processes) => ({
  date: Date.now(),
  host: "host",
  version: "0",
  backend: "sock",
  missed: { io_uring: 7, compat: 0 },
  whole: true,
  hidden: 0,
  processes,
});

async function waitsOnAQuietHost() {
  const page = await open({}, { fake: true });
  await page.evaluate((it) => window.feed(it), view([]));
  await page.getByRole("heading", { name: "Waiting for the first request" }).waitFor();
  assert.match(await page.locator("pre").textContent(), /curl -s http:/);
  assert.equal(await page.locator("#missed").textContent(), "Missed: io uring 7");
  await page.screenshot({ path: "waiting.png" });
  assert.deepEqual(page.problems, []);
  await page.close();
}

async function staysSmooth() {
  const page = await open({}, { fake: true });
  const times = [];
  for (let second = 0; second < 8; second++) {
    const event = view(Array.from({ length: 500 }, (_, i) => process_(i)));
    // As the agent does: everything once, and then what is new.
    event.whole = second === 0;
    if (second > 0) event.processes.forEach((it) => it.points.splice(1));
    times.push(
      await page.evaluate((it) => {
        const start = performance.now();
        window.feed(it);
        document.body.getBoundingClientRect();
        return performance.now() - start;
      }, event),
    );
  }
  assert.equal(await page.locator("#processes tbody tr").count(), 500);
  const median = times.slice(1).sort((a, b) => a - b)[3];
  console.log(`500 processes: ${median.toFixed(0)} ms a second`);
  assert.ok(median < 300, `a second of 500 processes takes ${times} ms`);
  assert.deepEqual(page.problems, []);
  await page.close();
}

async function fitsAPhone() {
  const page = await open({ viewport: { width: 360, height: 720 }, deviceScaleFactor: 2, colorScheme: "dark" });
  await row(page, asked).waitFor();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 360, `${width} pixels wide`);
  await page.screenshot({ path: "phone.png" });
  await row(page, asked).locator("th button").click();
  await page.getByRole("dialog").waitFor();
  await page.screenshot({ path: "phone-detail.png" });
  assert.deepEqual(page.problems, []);
  await page.close();
}

try {
  await waitsOnAQuietHost();
  await staysSmooth();
  const page = await open();
  await showsWhatWasAsked(page);
  await fitsAPhone();
  await graphMoves(page);
  await page.screenshot({ path: "light.png" });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: "dark.png" });
  await page.emulateMedia({ colorScheme: "light" });
  await sortsFiltersAndIsUsedByKeyboard(page);
  await saysWhereItStands(page);
  assert.deepEqual(page.problems, []);
  await comesBack(page);
  // The browser itself reports each attempt while there was no agent.
  assert.deepEqual(page.problems.filter((it) => !it.includes("net::ERR_")), []);
  assert.deepEqual(page.requests.filter((it) => !it.startsWith(address)), []);
  console.log("done");
} finally {
  await browser.close();
}
