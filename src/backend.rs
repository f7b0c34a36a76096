// SPDX-License-Identifier: Apache-2.0
//! Which way to see receives and sends: facts first, then a pure rule, then a trial load.

use clap::ValueEnum;

/// A way to see the bytes of every socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// `tp_btf/sock_recv_length` and `tp_btf/sock_send_length` (Linux 6.3 and later).
    Sock,
    /// `tracepoint/syscalls/sys_exit_read` and its sisters.
    Syscall,
}
