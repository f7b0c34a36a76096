// SPDX-License-Identifier: Apache-2.0
// What was missed: how often of late, what it means and what can be done. docs/limitations.md has the whole story.

import { count, rate } from "./format.js";
import { write } from "./write.js";

const NOTHING_TO_DO = "Nothing.";
const OTHER_BACKEND = "--backend fexit sees them, where the kernel allows it.";

const REASONS = {
  processes_full: ["Requests of processes for which there was no room. Their workload has them.", "Raise --max-processes."],
  series_full: ["Answers of kinds for which there was no room, and not even one for all others.", "Raise --max-processes and --max-workloads."],
  connections_full: ["Connections for which no state could be made.", "Raise --max-connections; see whether the host is short of memory."],
  unmatched: [
    "Answers to requests that were not seen: they came before the agent, or by a way that passes it.",
    "Nothing, if it ends some minutes after the agent's start. Else see the limitations for what passes it.",
  ],
  requests_lost: ["Requests on connections whose bytes could not be followed, until one begins a receive again.", NOTHING_TO_DO],
  responses_lost: ["Answers on connections whose bytes could not be followed.", NOTHING_TO_DO],
  unbounded: ["Answers that follow one without a length, on a connection that is kept.", "Have that server send Content-Length or chunks."],
  too_long: ["What was left of a transfer that takes too many steps to follow.", NOTHING_TO_DO],
  unreadable: ["Transfers whose memory could not be read just then: it is paged out, or registered with io_uring.", "See whether the host swaps."],
  io_uring: ["Transfers by io_uring, which no system call shows.", OTHER_BACKEND],
  kernel_thread: ["Transfers of the kernel's own threads.", NOTHING_TO_DO],
  compat: ["Transfers of 32-bit programs.", OTHER_BACKEND],
  syscall: ["Transfers by a system call that is not looked at, such as preadv2.", OTHER_BACKEND],
  cancelled: ["HTTP/2 requests that the client has given up: they have no answer.", "See the client's time limits."],
  reset: ["HTTP/2 requests that the server has given up: they have no answer.", "See the server's log."],
  streams_full: ["Answers of HTTP/2 for whose request there was no room.", "Raise --max-h2-connections."],
  joined_late: ["Method or status on HTTP/2 connections that are older than the agent. They count as unknown.", "Nothing: it ends with those connections."],
  hpack_table: ["The same, where peers use header tables of more than 4096 octets.", "Leave the peers' header table at its default size."],
  tls_unseen: ["TLS connections that cannot be seen into. Rows say whose.", "Look behind what ends TLS. docs/tls.md has the libraries that are seen into."],
  tls_calls_full: ["Reads and writes within TLS for which there was no room among those under way.", "See who has so many at a time: docs/limitations.md, shares."],
  recursion: ["Transfers while the kernel could not run a program: another one was at work on that CPU.", "Let the agent have CAP_SYS_NICE."],
};

export class Missed {
  constructor(element) {
    this.element = element;
    this.summary = element.querySelector("summary");
    this.body = element.querySelector("tbody");
  }

  // Each with its count, and that of the last minute.
  show(missed) {
    const lately = missed.filter((it) => it.lately > 0);
    const names = lately.map((it) => `${named(it)} ${perSecond(it)}`).join(", ");
    const all = missed.reduce((sum, it) => sum + it.total, 0);
    write(this.summary, names ? `Missed of late: ${names}` : all ? `Nothing missed of late, ${count(all)} before` : "Nothing missed");
    this.element.classList.toggle("lately", lately.length > 0);
    this.element.classList.toggle("empty", all === 0);
    if (!this.element.open) return;
    while (this.body.rows.length > missed.length) this.body.deleteRow(-1);
    missed.forEach((it, n) => {
      const row = this.body.rows[n] ?? this.body.insertRow();
      const [meaning, help] = REASONS[it.reason] ?? ["", ""];
      [named(it), perSecond(it), count(it.total), meaning, help].forEach((text, i) => {
        const cell = row.cells[i] ?? row.insertCell();
        cell.className = i === 1 || i === 2 ? "number" : "";
        write(cell, text);
      });
    });
  }
}

const named = (it) => it.reason.replaceAll("_", " ");

function perSecond(it) {
  return it.lately && it.lately < 60 ? `${count(it.lately)}/min` : `${rate(it.lately / 60)}/s`;
}
