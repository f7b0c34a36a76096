// SPDX-License-Identifier: Apache-2.0
//! The files that a process has mapped to execute them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

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

/// One that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// As `/proc/PID/map_files` calls it.
    range: String,
    /// Device and inode as `/proc/PID/maps` has them. Some file systems have other devices for who asks for a file.
    pub number: (String, u64),
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
    let mut mappings: Vec<Mapping> = Vec::new();
    for mapping in maps.lines().filter_map(executed_by) {
        let is_known = mappings.iter().any(|it| it.number == mapping.number);
        if !is_known && mappings.len() < MOST_FILES {
            mappings.push(mapping);
        }
    }
    mappings
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
        regular(&format!("/proc/{pid}/map_files/{}", self.range))
            .or_else(|_| regular(&format!("/proc/{pid}/root{}", self.path)))
    }
}

/// Opens a file, and nothing else: to open a device may do anything, and to open a pipe waits.
fn regular(path: &str) -> io::Result<File> {
    let named = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    if !named.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(opened(&named))
}

/// By what name this process reaches a file that it has opened.
pub fn opened(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A process that has mapped a file of this number to execute it, if there is one.
pub fn mapped_by(number: &(String, u64)) -> io::Result<Option<u32>> {
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile has mapped nothing.
        if of(pid).is_ok_and(|all| all.iter().any(|it| it.number == *number)) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
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
        assert!(mapped_by(&mapping.number).unwrap().is_some());
        assert_eq!(mapped_by(&("ff:ff".to_owned(), 1)).unwrap(), None);
    }

    #[test]
    fn no_name_reaches_a_terminal_as_it_is() {
        let maps = "7f10-7f20 r-xp 00001000 00:2f 78    /lib/\u{1b}[2J\u{e9}.so";
        assert_eq!(executed(maps)[0].shown(), "/lib/\\u{1b}[2J\u{e9}.so");
    }

    #[test]
    fn nothing_but_a_file_is_opened() {
        for path in ["/dev/null", "/proc/self/root", "/nowhere"] {
            assert!(regular(path).is_err(), "{path}");
        }
    }
}
