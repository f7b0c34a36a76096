// SPDX-License-Identifier: Apache-2.0
// What an agent would say of hosts that there are not.

export const COMMAND_LINE = { arguments: ["/srv/checkout-api", "--listen", "0.0.0.0:8080", "--greeting", "good day"], is_cut: false };

const DATE = Date.UTC(2026, 0, 2, 9, 41, 7);

// Always the same.
let seed = 7;
function random() {
  seed = (seed * 1103515245 + 12345) % 2 ** 31;
  return seed / 2 ** 31;
}

const point = (requests) => ({
  requests,
  answers: [0, requests * 0.93, requests * 0.04, requests * 0.02, requests * 0.01],
  p50_ms: 2.1 * (0.9 + 0.2 * random()),
  p99_ms: 88 * (0.8 + 0.4 * random()),
});

const wave = (i, mean, period = 23) => mean * (1 + 0.35 * Math.sin((i * 2 * Math.PI) / period) + 0.12 * random());

// Of rows that are all changing.
export function crowd(number, seconds) {
  return Array.from({ length: number }, (_, i) => ({
    id: `${1000 + i}-1`,
    name: `server-${i % 500}`,
    pid: 1000 + i,
    container: i % 2 ? undefined : String(i).padStart(64, "0"),
    port: 8000 + (i % 500),
    exited: false,
    requests: i,
    requests_per_second: i * random(),
    tls_unseen: 0,
    answers: { 200: 97 + i, 404: 3, 500: i % 3 },
    failed_calls: 0,
    p50_ms: 0.25,
    p90_ms: 3,
    p99_ms: 12,
    max_ms: 120,
    points: Array.from({ length: seconds }, () => Math.round(random() * (i + 1))),
  }));
}

export function event(rows, overrides = {}) {
  const rate = rows.reduce((sum, it) => sum + it.requests_per_second, 0);
  return {
    date: DATE,
    host: "host",
    version: "0.1.0",
    backend: "sock",
    missed: [{ reason: "io_uring", total: 127, lately: 120 }],
    whole: true,
    complete: true,
    hidden: 0,
    total: {
      requests_per_second: rate,
      processes: rows.length,
      answers: { 200: 9300, 302: 400, 404: 200, 500: 100 },
      failed_calls: 0,
      seconds: Array.from({ length: 60 }, (_, i) => point(wave(i, rate))),
      minutes: Array.from({ length: 60 }, (_, i) => point(wave(i, rate, 41))),
    },
    rows,
    ...overrides,
  };
}

// A host with a few services.
export function shop() {
  const container = (digit) => `${digit}f3c9a17e2b4`.padEnd(64, digit);
  const services = [
    ["frontend", 27841, 8080, 316, "4", { 200: 17200, 304: 1400, 404: 320, 500: 19 }, 2.03, {}],
    ["checkout-api", 27835, 8080, 159, "7", { 200: 8600, 302: 500, 404: 240, 500: 190 }, 2.21, {}],
    ["inventory", 27839, 9000, 48, "a", { 200: 2850 }, 2.7, { failed_calls: 31 }],
    ["search", 27843, 9200, 43, "c", { 200: 2500, 400: 70, 503: 10 }, 33.8, {}],
    ["nginx", 1204, 443, 21.4, undefined, { 200: 1260, 404: 24 }, 0.41, { unit: "nginx.service", tls_unseen: 12 }],
    ["auth", 27847, 7000, 16, "e", { 200: 930, 401: 31 }, 6.12, {}],
    ["node_exporter", 913, 9100, 0.07, undefined, { 200: 4 }, 18.3, { unit: "node_exporter.service" }],
  ];
  return services.map(([name, pid, port, mean, digit, answers, p50, others], n) => ({
    id: `${pid}-1`,
    name,
    pid,
    port,
    container: digit && container(digit),
    exited: false,
    requests: Math.round(mean * 86000),
    requests_per_second: mean,
    tls_unseen: 0,
    answers,
    failed_calls: 0,
    p50_ms: p50,
    p90_ms: p50 * 3.1,
    p99_ms: p50 * 37,
    max_ms: p50 * 52,
    points: Array.from({ length: 60 }, (_, i) => (mean < 1 ? Number(i % 15 === 4) : wave(i, mean, 17 + 5 * n))),
    ...others,
  }));
}

// Answers that take some milliseconds, and others that wait for something of late.
function heat(mean) {
  return Array.from({ length: 60 }, (_, i) => {
    const ranges = new Map();
    const add = (middle, width, number) => {
      for (let n = 0; n < number; n++) {
        const range = Math.round(middle + width * (random() + random() + random() - 1.5));
        ranges.set(range, (ranges.get(range) ?? 0) + 1);
      }
    };
    add(23, 4, Math.round(wave(i, mean, 22)));
    const isSlow = i > 34 && i < 49;
    add(isSlow ? 42 - (i - 35) / 4 : 32, 3, Math.round(mean / (isSlow ? 6 : 16)));
    return [...ranges].sort(([a], [b]) => a - b);
  });
}

function quantile(q, column) {
  let rest = q * column.reduce((sum, [, number]) => sum + number, 0);
  return 0.001024 * 2 ** ((column.find(([, number]) => (rest -= number) <= 0)[0] - 0.5) / 2);
}

const points = (columns) =>
  columns.map((it, i) => ({ ...point(wave(i, 159, 22)), p50_ms: quantile(0.5, it), p99_ms: quantile(0.99, it) }));

export function detail() {
  const [seconds, minutes] = [heat(159), heat(900)];
  const series = [
    ["GET", 200, 11400231, 9.1],
    ["GET", 404, 203311, 0.9],
    ["POST", 200, 1204100, 41],
    ["POST", 302, 680222, 33],
    ["POST", 500, 131077, 410],
  ];
  return {
    date: DATE,
    seconds: { points: points(seconds), heat: seconds },
    minutes: { points: points(minutes), heat: minutes },
    series: series.map(([method, status, count, mean]) => ({
      method, status, count, version: "1.1", mean_ms: mean, p50_ms: mean * 0.8, p90_ms: mean * 2.2, p99_ms: mean * 6, max_ms: mean * 30,
    })),
  };
}
