// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

export const NOTHING = "–";

export function count(value) {
  return whole.format(value);
}

export function rate(value) {
  if (value >= 100000) return compact.format(value);
  if (value >= 100) return whole.format(value);
  return value === 0 ? "0" : value.toFixed(value >= 10 ? 1 : 2);
}

export function duration(ms) {
  if (ms === null || ms === undefined) return NOTHING;
  if (ms === 0) return "0";
  if (ms < 0.9995) return `${Math.round(ms * 1000)} µs`;
  if (ms < 9.995) return `${ms.toFixed(2)} ms`;
  if (ms < 99.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  return `${(ms / 1000).toFixed(2)} s`;
}

export function share(value) {
  if (value === null) return NOTHING;
  if (value === 0) return "0 %";
  const percent = value * 100;
  return percent < 0.1 ? "<0.1 %" : `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
}

const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export function time(ms) {
  return clock.format(ms);
}
