// SPDX-License-Identifier: Apache-2.0
//! An emulated machine: booted, listened to, and ended when its time is up. Always emulated in software, so that it does not
//! matter where the lab runs: what a hypervisor of the host's offers may be a half of one.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::arch::Arch;
use crate::record::{Decoder, Record};

pub struct Machine<'a> {
    pub arch: Arch,
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// What the kernel is told beside what every one is.
    pub parameters: &'a str,
    /// Keeps all that the console shows.
    pub console: &'a Path,
}

/// Ends the emulator when dropped.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // Both fail only where it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine<'_> {
    /// Boots, and hands over each record until the machine says that it is done.
    pub fn run(&self, limit: Duration, mut absorb: impl FnMut(Record)) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut log = File::create(self.console)?;
        let mut emulator = Emulator(self.spawn()?);
        let output = emulator.0.stdout.take().context("no console")?;
        let lines = lines(output);
        let mut decoder = Decoder::default();
        loop {
            let line = match lines.recv_timeout(deadline - Instant::now()) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!("not done after {} s", limit.as_secs()),
                Err(RecvTimeoutError::Disconnected) => bail!("ended before it was done"),
            };
            writeln!(log, "{line}")?;
            match decoder.line(&line).transpose()? {
                Some(Record::End) => return Ok(()),
                Some(record) => absorb(record),
                None => {}
            }
        }
    }

    fn spawn(&self) -> Result<Child> {
        let (program, machine) = self.arch.emulator();
        let console = self.arch.console();
        // "printk.devkmsg": process 1 may say as much as it has to. The last two save time: what a processor must not guess
        // means nothing to an emulated one, and any other clock than its counter is a device.
        let parameters = format!(
            "console={console} quiet panic=-1 oops=panic printk.devkmsg=on mitigations=off tsc=reliable {}",
            self.parameters
        );
        let mut command = Command::new(program);
        command
            .args(machine)
            .args(["-accel", "tcg,thread=multi,tb-size=256"])
            .args(["-smp", "2", "-m", "2048"])
            .args(["-nodefaults", "-nographic", "-no-reboot"])
            .args(["-serial", "stdio", "-monitor", "none"])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .args(["-append", &parameters])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // SAFETY: between fork and exec, prctl is a plain system call that touches no memory.
        unsafe {
            command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
        }
        command.spawn().with_context(|| {
            format!("{program} (scripts/install-dependencies.sh kernels installs it)")
        })
    }

    /// What the console showed last.
    pub fn last_words(&self, lines: usize) -> Result<String> {
        let text = std::fs::read(self.console)?;
        let text = String::from_utf8_lossy(&text);
        let count = text.lines().count();
        let last = text.lines().skip(count.saturating_sub(lines));
        Ok(last.map(|line| format!("    {line}\n")).collect())
    }
}

/// Lines as they come, whatever bytes are in them.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Bookworm's own emulator crashes one boot in six.
pub fn check_emulator(arch: Arch) -> Result<()> {
    const OLDEST: u32 = 8;
    let (program, _) = arch.emulator();
    let output = Command::new(program).arg("--version").output();
    let output = output
        .with_context(|| format!("{program}: run scripts/install-dependencies.sh kernels"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = major_version(&text).context(text.clone().into_owned())?;
    ensure!(
        version >= OLDEST,
        "{program} {version} is too old: scripts/install-dependencies.sh kernels brings a newer one"
    );
    Ok(())
}

fn major_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("version ")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulator_tells_its_version() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright";
        assert_eq!(major_version(text), Some(10));
        assert_eq!(major_version("nothing"), None);
    }
}
