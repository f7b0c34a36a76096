// SPDX-License-Identifier: Apache-2.0
//! Nobody reads what the agent says.

use std::io::{self, PipeReader, Write};
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::libc;
use rustix::process::Signal;

use crate::followed::{Asked, Followed};
use crate::prepared;

/// Whatever it would say: counts, and ends when it is asked to.
fn speechless(command: Command) {
    let mut agent = Followed::start(command, &["-vv"]);
    let mut server = Asked::start();
    server.ask(101);
    agent.is_exact(&server);
    server.ask(211);
    agent.is_exact(&server);
    let (status, _) = agent.agent.stop(Signal::TERM);
    assert!(status.success(), "{status}");
}

#[test]
fn nobody_to_hear_it_since_stderr_is_closed() {
    speechless(prepared(|| {
        // SAFETY: the descriptor is nobody's but this child's.
        unsafe { libc::close(libc::STDERR_FILENO) };
        Ok(())
    }));
}

/// A pipe that is full, and the end at which nobody reads.
fn full_pipe() -> (PipeReader, io::PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let pipe = writer.as_raw_fd();
    let set = |flags: OFlag| {
        // SAFETY: the descriptor is open, and the flags are no address.
        assert_eq!(unsafe { libc::fcntl(pipe, libc::F_SETFL, flags.bits()) }, 0);
    };
    set(OFlag::O_NONBLOCK);
    while writer.write(&[b'.'; 4096]).is_ok() {}
    set(OFlag::empty());
    (reader, writer)
}

#[test]
fn nobody_to_hear_it_since_stderr_is_a_full_pipe() {
    let (_unread, full) = full_pipe();
    speechless(prepared(move || {
        // SAFETY: both are descriptors of this child.
        match unsafe { libc::dup2(full.as_raw_fd(), libc::STDERR_FILENO) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }));
}

#[test]
fn nobody_to_hear_it_since_stderr_is_a_pipe_without_a_reader() {
    let (unread, writer) = io::pipe().unwrap();
    drop(unread);
    let broken = move || {
        // SAFETY: both are descriptors of this child.
        match unsafe { libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    speechless(prepared(broken));
}
