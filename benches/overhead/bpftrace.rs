// SPDX-License-Identifier: Apache-2.0
//! The one-liner. It can only be started and killed, so each attachment is a new copy.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::observer::Observer;

/// bpftrace attaches in this order, so that the timer's word comes from a script that is complete.
const SCRIPT: &str = r#"
tracepoint:syscalls:sys_enter_read { @buffer[tid] = args->buf; }
tracepoint:syscalls:sys_enter_recvfrom { @buffer[tid] = args->ubuf; }
tracepoint:syscalls:sys_exit_read, tracepoint:syscalls:sys_exit_recvfrom /@buffer[tid]/ {
    if (args->ret >= 4) {
        $start = str(@buffer[tid], 5);
        if (strncmp($start, "GET ", 4) == 0 || strncmp($start, "POST", 4) == 0
            || strncmp($start, "PUT ", 4) == 0 || strncmp($start, "HEAD", 4) == 0) {
            @requests[pid] = count();
        }
    }
    delete(@buffer[tid]);
}
interval:ms:50 /!@attached/ { @attached = 1; printf("attached\n"); }
"#;

#[derive(Default)]
pub struct Bpftrace {
    running: Option<Child>,
}

impl Observer for Bpftrace {
    fn attach(&mut self) -> Result<()> {
        let child = Command::new("bpftrace")
            .args(["-e", SCRIPT])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start bpftrace: install it")?;
        let child = self.running.insert(child);
        let output = child.stdout.take().context("no output of bpftrace")?;
        let attached = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "attached");
        if !attached {
            let mut reason = String::new();
            child
                .stderr
                .take()
                .context("no errors of bpftrace")?
                .read_to_string(&mut reason)?;
            anyhow::bail!("bpftrace ended before it was attached: {}", reason.trim());
        }
        Ok(())
    }

    fn detach(&mut self) -> Result<()> {
        if let Some(mut child) = self.running.take() {
            child.kill().context("cannot stop bpftrace")?;
            child.wait()?;
        }
        Ok(())
    }

    fn requests(&mut self, _pid: u32) -> Result<Option<u64>> {
        Ok(None)
    }
}

impl Drop for Bpftrace {
    fn drop(&mut self) {
        // An error on the way must not leave it attached; there is nobody left to hear of another one.
        let _ = self.detach();
    }
}
