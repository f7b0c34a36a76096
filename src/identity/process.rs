// SPDX-License-Identifier: Apache-2.0
//! What a process is called, and where it runs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::identity::container::container_id;
use crate::model::snapshot::Identity;

/// Asks `/proc`; `comm` is the kernel's name of the process.
pub fn identify(pid: u32, comm: &str) -> Identity {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    Identity {
        name: name(pid, comm).into(),
        container: container_id(&cgroups).map(Arc::from),
    }
}

/// The name of the executable of `pid`, or `comm`, the kernel's name of it, where `/proc` does not say (any more).
fn name(pid: u32, comm: &str) -> String {
    fs::read_link(format!("/proc/{pid}/exe"))
        .ok()
        .and_then(|target| base_name(&target))
        .unwrap_or_else(|| comm.to_owned())
}

/// The last part of the target of an `exe` link. Names are bytes: what is not UTF-8 is replaced.
fn base_name(target: &Path) -> Option<String> {
    // The kernel marks an executable that was replaced by an upgrade.
    let bytes = target.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    let name = Path::new(OsStr::from_bytes(bytes)).file_name()?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_called_by_its_executable() {
        let own = std::env::current_exe().unwrap();
        let own = own.file_name().unwrap().to_str().unwrap();
        assert_eq!(name(std::process::id(), "comm"), own);
    }

    #[test]
    fn a_process_that_is_gone_keeps_the_kernels_name() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(name(child.id(), "comm"), "comm");
    }

    #[test]
    fn base_name_of_every_form() {
        let cases: [(&[u8], Option<&str>); 5] = [
            (b"/usr/sbin/nginx", Some("nginx")),
            (b"/usr/sbin/nginx (deleted)", Some("nginx")),
            (b"/opt/a b (deleted)/server", Some("server")),
            (b"/tmp/\xffserver", Some("\u{fffd}server")),
            (b"/", None),
        ];
        for (target, expected) in cases {
            let target = Path::new(OsStr::from_bytes(target));
            assert_eq!(base_name(target).as_deref(), expected, "{target:?}");
        }
    }
}
