// SPDX-License-Identifier: Apache-2.0
// Drives the page in a real browser. Arguments: where the page is, and what it has to show of two processes as JSON.
// It says "restart" when the agent shall be stopped, and "lost" when it shall be started again.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

import { COMMAND_LINE, crowd, detail, event, shop } from "./feigned.mjs";

const [address, expectations] = process.argv.slice(2);
const { asked, steady } = JSON.parse(expectations);
const LIMIT = 30000;
// Both servers have it in their names. Others of this host may be many, and what is not in sight is not in the document.
const OURS = "script";

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

// `query` is the state in the address, `row` what the agent would say of a row that is opened.
async function open(options = {}, { fake = false, query = "", row = null } = {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 }, ...options });
  page.setDefaultTimeout(LIMIT);
  page.problems = [];
  page.requests = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.problems.push(message.text()));
  page.on("dialog", (dialog) => page.problems.push(`a dialog: ${dialog.message()}`));
  page.on("request", (request) => page.requests.push(request.url()));
  if (fake) await page.addInitScript(pretend);
  if (row) await page.route("**/row?*", (route) => route.fulfill({ json: row }));
  if (row) await page.route("**/command-line?*", (route) => route.fulfill({ json: COMMAND_LINE }));
  await page.goto(address + query);
  return page;
}

// Instead of the agent's events the page gets those that the test feeds it.
function pretend() {
  window.EventSource = class extends EventTarget {
    constructor() {
      super();
      window.feed = (event) => this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(event) }));
    }
    close() {}
  };
}

const feed = (page, it) => page.evaluate((event) => window.feed(event), it);
const row = (page, { pid }) =>
  page.locator("#rows tbody tr").filter({ has: page.getByText(String(pid), { exact: true }) });
const names = (page) => page.locator("#rows tbody th button").allTextContents();
const pressed = (page, name) => page.getByRole("button", { name, pressed: true });

async function until(what, condition) {
  const start = Date.now();
  while (!(await condition())) {
    assert.ok(Date.now() - start < LIMIT, `${what}: not in ${LIMIT} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

const bar = ({ answers }) => Object.entries(answers).map(([status, count]) => `${status}: ${count}`).join(", ");
const sum = ({ answers }) => Object.values(answers).reduce((sum, count) => sum + count, 0);

// Since it was first seen, without how long they took.
const seriesOf = (page) =>
  page.locator("#detail-series tbody tr").evaluateAll((rows) => rows.map((it) => [...it.cells].slice(0, 4).map((cell) => cell.textContent)));
const seriesAsked = Object.entries(asked.answers).map(([status, count]) => ["GET", status, "1.1", String(count)]);

async function showsWhatWasAsked(page) {
  const asking = row(page, asked);
  await until("all answers", async () => (await asking.locator(".bar").getAttribute("aria-label")) === bar(asked));
  const all = sum(asked);
  const share = (status) => `${((100 * asked.answers[status]) / all).toFixed(status === 404 ? 0 : 1)} %`;
  const cells = await asking.locator("td").allTextContents();
  assert.equal(await asking.locator("th button").textContent(), asked.name);
  assert.equal(cells[1], String(asked.port));
  assert.deepEqual([cells[4], cells[5]], [share(404), share(500)]);
  assert.match(await asking.locator(".peak").textContent(), /^[1-9]/);

  await asking.locator("th button").click();
  const detail = page.getByRole("dialog", { name: asked.name });
  await detail.waitFor();
  assert.equal(await page.locator("#detail-requests").textContent(), String(all));
  await until("all series", async () => (await seriesOf(page)).length === Object.keys(asked.answers).length);
  assert.deepEqual(await seriesOf(page), seriesAsked);
  for (const p50 of await page.locator("#detail-series td:nth-child(6)").allTextContents()) assert.match(p50, /^[3-9]\d\.\d ms$/);
  assert.match(await page.locator("#detail-status-chart").getAttribute("aria-label"), /^2xx /);
  await until("a heatmap", async () => (await page.locator("#detail-heat-chart .heat").count()) > 0);
  assert.match(await page.locator("#detail-heat-chart").getAttribute("aria-label"), new RegExp(`^${all} answers, most in \\d`));
  // As the kernel says it to anybody on this host.
  await until("a command line", async () => (await page.locator("#detail-command").textContent()).endsWith(`-- ${asked.port} 30`));
  await page.screenshot({ path: "detail-asked.png" });

  // The hour has the minutes since the agent came.
  await detail.getByRole("button", { name: "Hour" }).click();
  assert.match(await page.locator("#detail-heat-chart").getAttribute("aria-label"), new RegExp(`^${all} answers`));
  assert.match(page.url(), /range=hour/);
  await detail.getByRole("button", { name: "Minute" }).click();
  await page.keyboard.press("Escape");
  await detail.waitFor({ state: "hidden" });
  await until("an address without the row", () => !page.url().includes("row="));
}

async function groups(page) {
  for (const [by, head] of [["Workloads", "Workload"], ["Containers", "Container"], ["Units", "Unit"]]) {
    await page.getByRole("button", { name: by }).click();
    await pressed(page, by).waitFor();
    await page.getByRole("columnheader", { name: head, exact: true }).waitFor();
    // The servers of the test are alone in their workloads, and share what else they are in with others.
    const found = page.locator("#rows tbody tr").filter({ hasText: asked.name });
    await found.waitFor();
    const processes = by === "Workloads" ? /^1 process$/ : /^\d+ process(es)?, .*script/;
    await until("rows of several", async () => processes.test(await found.locator(".about").textContent()));
    await found.locator("th button").click();
    await page.getByRole("dialog").waitFor();
    await until("its series", async () => (await seriesOf(page)).length >= seriesAsked.length);
    const series = await seriesOf(page);
    if (by === "Workloads") assert.deepEqual(series, seriesAsked);
    for (const [method, status, version, count] of seriesAsked) {
      const sums = series.filter((it) => it.slice(0, 3).join() === [method, status, version].join());
      assert.ok(Number(sums[0][3].replaceAll(",", "")) >= Number(count), by);
    }
    await page.keyboard.press("Escape");
  }
  await page.getByRole("button", { name: "Processes" }).click();
  await row(page, asked).waitFor();
}

async function graphMoves(page) {
  const line = row(page, steady).locator(".sparkline .line");
  const seen = new Set();
  await until("a graph that moves", async () => seen.add(await line.getAttribute("d")).size > 3);
  const rate = () => row(page, steady).locator(".rate").textContent();
  await until("a rate", async () => Number(await rate()) > 0);
  const total = await page.locator("#total-rate").textContent();
  assert.ok(Number(total.replaceAll(",", "")) > 0, total);
  assert.match(await page.locator("#total-chart").getAttribute("aria-label"), /2xx [1-9]/);
}

async function pauses(page) {
  await page.keyboard.press("p");
  await page.getByRole("button", { name: /^Paused at \d\d:\d\d:\d\d$/ }).waitFor();
  const line = () => row(page, steady).locator(".sparkline .line").getAttribute("d");
  const held = await line();
  // More than one event comes meanwhile.
  await new Promise((done) => setTimeout(done, 2500));
  assert.equal(await line(), held);
  await page.keyboard.press("p");
  await until("a graph that goes on", async () => (await line()) !== held);
}

async function sortsFiltersAndIsUsedByKeyboard(page) {
  const name = page.getByRole("columnheader", { name: "Process" });
  await name.getByRole("button").click();
  assert.equal(await name.getAttribute("aria-sort"), "ascending");
  const lower = (await names(page)).map((it) => it.toLowerCase());
  assert.deepEqual(lower, [...lower].sort());
  await name.getByRole("button").click();
  assert.equal(await name.getAttribute("aria-sort"), "descending");

  await page.locator("#filter").fill("");
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  await page.keyboard.type(asked.name);
  await until("a filtered table", async () => (await page.locator("#rows tbody tr").count()) === 1);
  assert.match(await page.locator("#matches").textContent(), /^1 of \d+$/);
  const { searchParams } = new URL(page.url());
  assert.deepEqual([...searchParams], [["sort", "name"], ["filter", asked.name]]);
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: asked.name }).waitFor();
  // Whoever is sent the address sees the same.
  const other = await open({}, { query: page.url().slice(address.length) });
  await other.getByRole("dialog", { name: asked.name }).waitFor();
  assert.equal(await other.locator("#filter").inputValue(), asked.name);
  await other.close();
  await page.keyboard.press("Escape");
  await page.locator("#filter").fill("no such process");
  await page.getByText("Nothing matches.").waitFor();
  await page.locator("#filter").fill(OURS);
}

async function saysWhereItStands(page) {
  assert.match(await page.locator("#agent").textContent(), /backend (sock|syscall)/);
  assert.match(await page.locator("#missed summary").textContent(), /Nothing missed|Missed of late: /);
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

async function waitsOnAQuietHost() {
  const page = await open({}, { fake: true });
  await feed(page, event([]));
  await page.getByRole("heading", { name: "Waiting for the first request" }).waitFor();
  assert.match(await page.locator("pre").textContent(), /curl -s http:/);
  assert.equal(await page.locator("#missed summary").textContent(), "Missed of late: io uring 2.00/s");
  await page.locator("#missed summary").click();
  const cells = page.locator("#missed tbody tr td");
  assert.deepEqual((await cells.allTextContents()).slice(0, 3), ["io uring", "2.00/s", "127"]);
  assert.match(await cells.last().textContent(), /--backend fexit/);
  await page.screenshot({ path: "waiting.png" });
  assert.deepEqual(page.problems, []);
  await page.close();
}

// 500 workloads of ten processes each. What takes time is bounded by what is in sight, whatever there is.
async function staysSmooth() {
  const page = await open({}, { fake: true });
  const times = [];
  for (let second = 0; second < 8; second++) {
    const whole = second === 0;
    const rows = crowd(5000, whole ? 60 : 1);
    times.push(
      await page.evaluate((it) => {
        const start = performance.now();
        window.feed(it);
        document.body.getBoundingClientRect();
        return performance.now() - start;
      }, event(rows, { whole, complete: whole })),
    );
  }
  const [median] = times.slice(1).sort((a, b) => a - b).slice(3);
  console.log(`5000 rows: ${median.toFixed(0)} ms a second`);
  const inSight = () => page.locator("#rows tbody tr").count();
  assert.ok((await inSight()) < 50);
  assert.equal(await page.locator("#rows").getAttribute("aria-rowcount"), "5001");
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await page.locator('#rows tr[aria-rowindex="5001"]').waitFor();
  assert.ok((await inSight()) < 50);
  const spent = await page.evaluate(async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const start = performance.now();
    for (let i = 0; i < 60; i++) {
      scrollTo(0, i * 120);
      await frame();
    }
    return (performance.now() - start) / 60;
  });
  console.log(`a frame of scrolling: ${spent.toFixed(1)} ms`);
  assert.deepEqual(page.problems, []);
  await page.close();
}

// What the agent does not tell of again stays as it was, unless it has exited.
async function takesInWhatIsNew() {
  const page = await open({}, { fake: true });
  const [one, other, third] = crowd(3, 60).map((it, i) => ({ ...it, name: `s${i}`, requests_per_second: i + 1 }));
  await feed(page, event([one, other, { ...third, exited: true }]));
  assert.deepEqual(await names(page), ["s2", "s1", "s0"]);
  await feed(page, event([{ ...one, requests_per_second: 7, points: [7] }], { whole: false, complete: false }));
  assert.deepEqual(await names(page), ["s0", "s1"]);
  await page.close();
}

async function holdsTheOrder() {
  const page = await open({}, { fake: true });
  const rows = (turned) => crowd(9, 60).map((it, i) => ({ ...it, name: `s${i}`, requests_per_second: turned ? 9 - i : i }));
  await feed(page, event(rows(false)));
  assert.equal((await names(page))[0], "s8");
  await page.locator("#rows tbody tr").first().hover();
  await feed(page, event(rows(true)));
  assert.equal((await names(page))[0], "s8");
  assert.match(await page.locator("#held").textContent(), /^8 rows wait to move/);
  await page.locator("#host").hover();
  await until("the new order", async () => (await names(page))[0] === "s0");
  assert.equal(await page.locator("#held").textContent(), "");
  // By the keyboard the same, until it lets go.
  for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
  assert.equal(await page.locator("#rows [aria-current] button").textContent(), "s1");
  await feed(page, event(rows(false)));
  assert.equal((await names(page))[0], "s0");
  await page.keyboard.press("Escape");
  await until("the order again", async () => (await names(page))[0] === "s8");
  await page.close();
}

async function hidesWhoIsIdleOrGone() {
  const page = await open({}, { fake: true, query: "?idle=hidden&sort=name&order=up" });
  const [busy, idle, gone] = crowd(3, 60);
  const rows = [
    { ...busy, name: "busy" },
    { ...idle, name: "idle", points: [0, 0], answers: {} },
    { ...gone, name: "gone", exited: true },
  ];
  await feed(page, event(rows));
  assert.deepEqual(await names(page), ["busy", "gone"]);
  await page.getByLabel("Hide exited").check();
  assert.deepEqual(await names(page), ["busy"]);
  assert.match(page.url(), /idle=hidden&exited=hidden/);
  await page.getByLabel("Hide idle").uncheck();
  assert.deepEqual(await names(page), ["busy", "idle"]);
  await page.close();
}

// What docs/page.md shows, of a feigned host.
async function isShownInPictures() {
  for (const colorScheme of ["light", "dark"]) {
    const page = await open({ colorScheme, viewport: { width: 1280, height: 640 } }, { fake: true, row: detail() });
    await feed(page, event(shop(), { host: "node-7", missed: [] }));
    await page.screenshot({ path: `page-${colorScheme}.png` });
    await page.setViewportSize({ width: 1280, height: 860 });
    await page.getByRole("button", { name: "checkout-api" }).click();
    await until("a heatmap", async () => (await page.locator("#detail-heat-chart .heat").count()) > 3);
    await page.locator("#detail-heat-chart").hover();
    assert.match(await page.locator("#detail-heat-legend").textContent(), /^\d\d:\d\d:\d\d\d+ answers, most in /);
    await page.locator("#detail").screenshot({ path: `detail-${colorScheme}.png` });
    await page.locator("figure.whole").screenshot({ path: `heatmap-${colorScheme}.png` });
    assert.deepEqual(page.problems, []);
    await page.close();
  }
}

async function fitsAPhone() {
  const page = await open({ viewport: { width: 360, height: 720 }, deviceScaleFactor: 2, colorScheme: "dark" }, { query: `?filter=${OURS}` });
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
  // While what was asked is not a minute ago.
  const page = await open({}, { query: `?filter=${OURS}` });
  await showsWhatWasAsked(page);
  await groups(page);
  await fitsAPhone();
  await waitsOnAQuietHost();
  await takesInWhatIsNew();
  await holdsTheOrder();
  await hidesWhoIsIdleOrGone();
  await staysSmooth();
  await isShownInPictures();
  await graphMoves(page);
  await pauses(page);
  await page.screenshot({ path: "light.png" });
  await sortsFiltersAndIsUsedByKeyboard(page);
  await saysWhereItStands(page);
  assert.deepEqual(page.problems, []);
  await comesBack(page);
  // The browser itself reports each attempt while there was no agent.
  assert.deepEqual(page.problems.filter((it) => !it.includes("net::ERR_")), []);
  assert.deepEqual(page.requests.filter((it) => !it.startsWith(address)), []);
  console.log("done");
} catch (error) {
  for (const [i, page] of browser.contexts().flatMap((it) => it.pages()).entries()) {
    await page.screenshot({ path: `failed-${i}.png` });
    console.log(await page.locator("body").innerText());
  }
  throw error;
} finally {
  await browser.close();
}
