// SPDX-License-Identifier: Apache-2.0
//! The ways to see receives and sends.

use std::fmt;

use clap::ValueEnum;

/// A way to see the bytes of every socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The tracepoints `sock_recv_length` and `sock_send_length` (Linux 6.4 and later).
    Sock,
    /// `tracepoint/syscalls/sys_exit_read` and its sisters.
    Syscall,
    /// `fexit/inet_recvmsg`, `fexit/inet_sendmsg` and those of the other families of sockets.
    Fexit,
}

impl Backend {
    /// In order of preference: what sees more comes first, and then what costs the host less.
    pub const ALL: [Self; 3] = [Self::Fexit, Self::Sock, Self::Syscall];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sock => "sock",
            Self::Syscall => "syscall",
            Self::Fexit => "fexit",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
