// SPDX-License-Identifier: Apache-2.0
//! What others have put in the place of the agent's directory and socket: it is refused, and nothing is done to it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use common::agent::{Program, folder, only_error, socket_in};
use common::process::tie_to_parent;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

const AGENT: Program = common::agent!();

const NOBODY: u32 = 65534;

fn refused(root: &Path) -> String {
    only_error(&AGENT.run(&["--plugins-root", root.to_str().unwrap()]))
}

/// A directory in which somebody else has put something in the place of the agent's.
fn occupied(occupy: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = folder();
    let root = folder.path().join("plugins");
    fs::create_dir(&root).unwrap();
    occupy(&root);
    folder
}

type Case<'a> = (&'a dyn Fn(&Path), &'a str);

#[test]
fn what_others_could_have_put_there_is_refused_and_left_as_it_is() {
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let cases: [Case; 4] = [
        (
            &|root| {
                let victim = root.with_file_name("victim");
                fs::create_dir(&victim).unwrap();
                open(&victim, 0o755);
                symlink(victim, root.join("http-statistics")).unwrap();
            },
            "is no directory",
        ),
        (
            &|root| {
                let theirs = root.join("http-statistics");
                fs::create_dir(&theirs).unwrap();
                open(&theirs, 0o755);
                chown(theirs, Some(NOBODY), None).unwrap();
            },
            "belongs to user 65534",
        ),
        (
            &|root| {
                let socket = socket_in(root);
                fs::create_dir(socket.parent().unwrap()).unwrap();
                drop(UnixListener::bind(&socket).unwrap());
                chown(socket, Some(NOBODY), None).unwrap();
            },
            "belongs to user 65534",
        ),
        (&|root| open(root, 0o777), "others may write"),
    ];
    for (occupy, says) in cases {
        let folder = occupied(occupy);
        let root = folder.path().join("plugins");
        let error = refused(&root);
        assert!(error.contains(says), "{error}");
        assert!(error.contains("--plugins-root"), "{error}");
        for victim in ["victim", "plugins/http-statistics"].map(|it| folder.path().join(it)) {
            assert!(!victim.exists() || mode(&victim) == 0o755, "{victim:?}");
        }
    }
}

#[test]
fn a_lock_that_somebody_holds_neither_hangs_the_start_nor_outlasts_a_signal() {
    let folder = folder();
    let directory = folder.path().join("http-statistics");
    fs::create_dir(&directory).unwrap();
    let held = File::open(&directory).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let error = refused(folder.path());
    assert!(error.contains("has locked"), "{error}");

    let mut command = AGENT.command();
    command.arg("--plugins-root").arg(folder.path());
    let mut child = tie_to_parent(&mut command, Signal::KILL).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let signalled = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let ended = signalled.elapsed();
    assert!(ended < Duration::from_secs(2), "{ended:?}");
}
