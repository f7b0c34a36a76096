// SPDX-License-Identifier: Apache-2.0
//! A child process that never outlives the test that started it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// How long a server may take to start or to end on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Ends the child when the thread that starts it ends, also where nothing is dropped because the test
/// program was killed. So start it in a thread that lives as long as the child should.
pub fn tie_to_parent(command: &mut Command, signal: Signal) -> &mut Command {
    // SAFETY: between fork and exec, prctl is a plain system call that touches no memory.
    unsafe {
        command.pre_exec(move || Ok(set_parent_process_death_signal(Some(signal))?));
    }
    command
}

/// Starts a program. One that was copied a moment ago may be busy: the child of another test holds the copy open for writing
/// until it becomes a program of its own.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let start = Instant::now();
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && start.elapsed() < LIMIT =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            outcome => return outcome,
        }
    }
}

/// A running child. It is asked to end when dropped, so that it can end its own children.
pub struct Process(Child);

impl Process {
    /// `package` is the Debian package to name where the program is missing.
    pub fn start(command: &mut Command, package: &str) -> Self {
        match spawn(tie_to_parent(command, Signal::TERM)) {
            Ok(child) => Self(child),
            Err(error) => panic!("{command:?}: {error} (is the package {package} installed?)"),
        }
    }

    pub fn pid(&self) -> u64 {
        self.0.id().into()
    }

    /// Waits until the child is `ready`, and fails at once where it has ended instead.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.0.try_wait().unwrap() {
                panic!("the server ended with {status} before it was ready");
            }
            assert!(start.elapsed() < LIMIT, "not ready after {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // All of these fail only where the child has already ended.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let start = Instant::now();
        while let Ok(None) = self.0.try_wait() {
            if start.elapsed() > LIMIT {
                let _ = self.0.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Waits for something that another process does a little later than its answer, such as a log line.
pub fn eventually<T: PartialEq + std::fmt::Debug>(expected: T, mut actual: impl FnMut() -> T) {
    let start = Instant::now();
    while start.elapsed() < LIMIT && actual() != expected {
        // What is asked may itself take that long in an emulated machine.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(actual(), expected);
}
