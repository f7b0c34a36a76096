// SPDX-License-Identifier: Apache-2.0
//! A control group of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Removed when dropped.
pub struct ControlGroup(PathBuf);

impl ControlGroup {
    /// A group under the hierarchy that has the controller, be it of version 1 or 2.
    pub fn new(controller: &str, name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let root = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|mount| match mount[2] {
                "cgroup" => mount[3].split(',').any(|option| option == controller),
                "cgroup2" => has(Path::new(mount[1]), controller),
                _ => false,
            })
            .map(|mount| PathBuf::from(mount[1]))
            .unwrap_or_else(|| panic!("no control groups with {controller} are mounted"));
        if has(&root, controller) {
            let add = format!("+{controller}");
            fs::write(root.join("cgroup.subtree_control"), add).unwrap();
        }
        let path = root.join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A group whose processes have so much memory.
    pub fn with_memory(name: &str, bytes: u64) -> Self {
        let group = Self::new("memory", name);
        let limit = ["memory.max", "memory.limit_in_bytes"]
            .map(|file| group.0.join(file))
            .into_iter()
            .find(|file| file.exists())
            .unwrap();
        fs::write(limit, bytes.to_string()).unwrap();
        group
    }

    /// A group whose processes have so many hundredths of a CPU.
    pub fn with_cpu(name: &str, percent: u32) -> Self {
        let group = Self::new("cpu", name);
        let (of_v2, of_v1) = (group.0.join("cpu.max"), group.0.join("cpu.cfs_quota_us"));
        let quota = percent * 1000;
        if of_v2.exists() {
            fs::write(of_v2, format!("{quota} 100000")).unwrap();
        } else {
            fs::write(of_v1, quota.to_string()).unwrap();
        }
        group
    }

    /// From now on no process of a group of `pids` gets a thread more, nor starts another process.
    pub fn allow_no_more_threads(&self) {
        fs::write(self.0.join("pids.max"), "1").unwrap();
    }

    /// The file to which a process that joins the group is written.
    pub fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

/// Whether a hierarchy of version 2 has the controller.
fn has(root: &Path, controller: &str) -> bool {
    fs::read_to_string(root.join("cgroup.controllers"))
        .is_ok_and(|controllers| controllers.split_whitespace().any(|it| it == controller))
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The kernel takes a moment to see that the last process has left.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
