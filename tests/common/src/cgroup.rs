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
        let root =
            root(|mount| is_of_version_1(mount, controller) || is_of_version_2(mount, controller))
                .unwrap_or_else(|| panic!("no control groups with {controller} are mounted"));
        if has(&root, controller) {
            let add = format!("+{controller}");
            fs::write(root.join("cgroup.subtree_control"), add).unwrap();
        }
        Self::below(&root, name)
    }

    /// A group of version 2, whatever controllers that has.
    pub fn of_version_2(name: &str) -> Self {
        let root = root(|mount| mount[2] == "cgroup2").expect("control groups of version 2");
        Self::below(&root, name)
    }

    /// A group of version 1, if there is such a hierarchy with the controller.
    pub fn of_version_1(controller: &str, name: &str) -> Option<Self> {
        let root = root(|mount| is_of_version_1(mount, controller))?;
        Some(Self::below(&root, name))
    }

    /// With those in between that are not there.
    pub fn below(root: &Path, name: &str) -> Self {
        let path = root.join(name);
        // Those in between may be going, with a group of another test.
        let made = (0..10).find_map(|_| fs::create_dir_all(&path).ok());
        made.unwrap_or_else(|| panic!("{} cannot be made", path.display()));
        Self(path)
    }

    /// A group whose processes have so much memory.
    pub fn with_memory(name: &str, bytes: u64) -> Self {
        let group = Self::new("memory", name);
        group.limit_memory(bytes);
        group
    }

    /// From now on the processes of a group of `memory` have so much of it.
    pub fn limit_memory(&self, bytes: u64) {
        let limit = ["memory.max", "memory.limit_in_bytes"]
            .map(|file| self.0.join(file))
            .into_iter()
            .find(|file| file.exists())
            .unwrap();
        fs::write(limit, bytes.to_string()).unwrap();
    }

    /// What the processes of a group of `memory` have of it, in bytes, with what the kernel has for them.
    pub fn memory(&self) -> u64 {
        self.number(["memory.current", "memory.usage_in_bytes"])
    }

    /// The most that it has been.
    pub fn most_memory(&self) -> u64 {
        self.number(["memory.peak", "memory.max_usage_in_bytes"])
    }

    /// What is in a file, which has another name in each version.
    fn number(&self, names: [&str; 2]) -> u64 {
        let texts = names.map(|name| fs::read_to_string(self.0.join(name)));
        let number = texts
            .into_iter()
            .find_map(|text| text.ok()?.trim().parse().ok());
        number.unwrap_or_else(|| panic!("neither of {names:?} can be read"))
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

/// The first hierarchy of such a mount, whose fields are those of `/proc/mounts`.
fn root(is_one: impl Fn(&[&str]) -> bool) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    mounts
        .find(|mount| is_one(mount))
        .map(|mount| PathBuf::from(mount[1]))
}

fn is_of_version_1(mount: &[&str], controller: &str) -> bool {
    mount[2] == "cgroup" && mount[3].split(',').any(|option| option == controller)
}

fn is_of_version_2(mount: &[&str], controller: &str) -> bool {
    mount[2] == "cgroup2" && has(Path::new(mount[1]), controller)
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
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Those above, as far as they are nobody else's.
        let mut above = self.0.ancestors().skip(1);
        while above
            .next()
            .is_some_and(|group| fs::remove_dir(group).is_ok())
        {}
    }
}
