// SPDX-License-Identifier: Apache-2.0
// Follows the agent's events, and tries again where they end.

const RETRY_MS = 1000;
// Events come each second: this long without one, and the connection is as good as lost.
const SILENCE_MS = 5000;

export class Stream {
  // `show` is given each event, `tell` whether there is a connection.
  constructor(show, tell) {
    Object.assign(this, { show, tell });
  }

  // Begins with a whole event.
  follow(by) {
    this.by = by;
    this.source?.close();
    const source = new EventSource(`events?by=${by}`);
    this.source = source;
    source.addEventListener("message", (event) => {
      // One may still be on its way.
      if (source !== this.source) return;
      this.listen();
      this.tell(true);
      this.show(JSON.parse(event.data));
    });
    // Nothing is left to the browser, since it gives up where the agent answers that it is busy.
    source.addEventListener("error", () => source === this.source && this.lost());
    this.listen();
  }

  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), SILENCE_MS);
  }

  lost() {
    this.source.close();
    clearTimeout(this.silence);
    this.tell(false);
    this.silence = setTimeout(() => this.follow(this.by), RETRY_MS);
  }
}
