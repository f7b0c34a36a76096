// SPDX-License-Identifier: Apache-2.0
//! The files that a process has mapped to execute them.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Of `/proc/PID/maps`; and files of one process that are looked at.
const MOST_TEXT: u64 = 4 << 20;
const MOST_FILES: usize = 1024;

/// A file as the kernel tells it from others, and from what it was before somebody wrote to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl FileId {
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Device and inode as `/proc/PID/maps` has them. Some file systems have other devices for who asks for a file.
pub type Number = (String, u64);

/// One that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// As `/proc/PID/map_files` calls it.
    range: String,
    pub number: Number,
    /// In the root of the process.
    pub path: String,
}

/// What a process executes, each file once.
pub fn of(pid: u32) -> io::Result<Vec<Mapping>> {
    let mut text = Vec::new();
    let maps = File::open(format!("/proc/{pid}/maps"))?;
    maps.take(MOST_TEXT).read_to_end(&mut text)?;
    Ok(executed(&String::from_utf8_lossy(&text)))
}

fn executed(maps: &str) -> Vec<Mapping> {
    let mut known = HashSet::new();
    let mappings = maps.lines().filter_map(executed_by);
    let once = mappings.filter(|it| known.insert(it.number.clone()));
    once.take(MOST_FILES).collect()
}

/// A line such as `7f00-7f10 r-xp 00001000 08:01 1234    /usr/lib/libssl.so.3`.
fn executed_by(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let range = fields.next()?;
    let rights = fields.next()?;
    let _offset = fields.next()?;
    let device = fields.next()?;
    let inode: u64 = fields.next()?.parse().ok()?;
    let path = fields.next()?.trim_start();
    let is_file = inode != 0 && path.starts_with('/');
    (is_file && rights.as_bytes().get(2) == Some(&b'x')).then(|| Mapping {
        range: range.to_owned(),
        number: (device.to_owned(), inode),
        path: path.to_owned(),
    })
}

impl Mapping {
    /// For people: a file may be called anything, and a terminal obeys control characters.
    pub fn shown(&self) -> String {
        self.path.escape_debug().to_string()
    }

    /// The very file that is mapped, also where it has been deleted; or where that is not allowed, what has its name now.
    pub fn open(&self, pid: u32) -> io::Result<File> {
        let mapped = File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(format!("/proc/{pid}/map_files/{}", self.range));
        regular(&mapped.or_else(|_| in_root_of(pid, &self.path))?)
    }
}

/// Opens a file, and nothing else: to open a device may do anything, and to open a pipe waits.
fn regular(named: &File) -> io::Result<File> {
    if !named.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(opened(named))
}

/// What has a name in the root of a process, whose links do not lead out of that.
fn in_root_of(pid: u32, path: &str) -> io::Result<File> {
    let root = File::open(format!("/proc/{pid}/root"))?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path, flags, Mode::empty(), inside)?.into())
}

/// By what name this process reaches a file that it has opened.
pub fn opened(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Of files with these numbers those that a process has mapped to execute them, and one such process.
pub fn mapped_by(wanted: &HashSet<Number>) -> io::Result<HashMap<Number, u32>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile has mapped nothing.
        let mapped = of(pid).unwrap_or_default();
        let numbers = mapped.into_iter().map(|it| it.number);
        found.extend(numbers.filter(|it| wanted.contains(it)).map(|it| (it, pid)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_once_each_and_nothing_else_is() {
        let maps = "\
55d0-55d1 r--p 00000000 08:01 77    /usr/bin/server with blanks
55d1-55d2 r-xp 00001000 08:01 77    /usr/bin/server with blanks
7f10-7f20 r-xp 00001000 00:2f 78    /lib/libssl.so.3 (deleted)
7f20-7f30 r-xp 00009000 00:2f 78    /lib/libssl.so.3 (deleted)
7f30-7f40 r-xp 00000000 00:30 78    /lib/libssl.so.3
7f40-7f50 rwxp 00000000 00:00 0
7f50-7f60 r-xs 00000000 00:01 9    anon_inode:[perf_event]
7ffc-7ffe r-xp 00000000 00:00 0    [vdso]
cut off";
        let told: Vec<_> = executed(maps)
            .into_iter()
            .map(|it| (it.number, it.path))
            .collect();
        let number = |device: &str, inode| (device.to_owned(), inode);
        let expected = [
            (
                number("08:01", 77),
                "/usr/bin/server with blanks".to_owned(),
            ),
            (number("00:2f", 78), "/lib/libssl.so.3 (deleted)".to_owned()),
            (number("00:30", 78), "/lib/libssl.so.3".to_owned()),
        ];
        assert_eq!(told, expected);
        assert_eq!(executed(""), []);
    }

    #[test]
    fn what_this_process_executes_is_opened_whatever_it_is_called_by_now() {
        let own = std::process::id();
        let executable = fs::metadata("/proc/self/exe").unwrap();
        let mappings = of(own).unwrap();
        let mapping = mappings
            .iter()
            .find(|it| it.number.1 == executable.ino())
            .unwrap();
        let file = mapping.open(own).unwrap();
        assert_eq!(
            FileId::of(&file).unwrap(),
            FileId::of(&File::open("/proc/self/exe").unwrap()).unwrap()
        );
        let renamed = Mapping {
            path: "/nowhere".to_owned(),
            ..mapping.clone()
        };
        assert!(renamed.open(own).is_ok());
        let elsewhere = Mapping {
            range: "0-1".to_owned(),
            ..mapping.clone()
        };
        assert!(elsewhere.open(own).is_ok());
        let nobodys = ("ff:ff".to_owned(), 1);
        let wanted = HashSet::from([mapping.number.clone(), nobodys]);
        let mapped = mapped_by(&wanted).unwrap();
        assert_eq!(mapped.keys().collect::<Vec<_>>(), [&mapping.number]);
    }

    #[test]
    fn no_name_reaches_a_terminal_as_it_is() {
        let maps = "7f10-7f20 r-xp 00001000 00:2f 78    /lib/\u{1b}[2J\u{e9}.so";
        assert_eq!(executed(maps)[0].shown(), "/lib/\\u{1b}[2J\u{e9}.so");
    }

    #[test]
    fn nothing_but_a_file_is_opened() {
        let own = std::process::id();
        let opened = |path: &str| in_root_of(own, path).and_then(|it| regular(&it));
        assert!(opened("/etc/hostname").or(opened("/etc/passwd")).is_ok());
        for path in ["/dev/null", "/proc/self/root", "/proc/self/exe", "/nowhere"] {
            assert!(opened(path).is_err(), "{path}");
        }
    }
}
