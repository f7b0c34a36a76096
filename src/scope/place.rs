// SPDX-License-Identifier: Apache-2.0
//! The directory of the plugin's socket, by descriptors: what stands at its name is looked at once, and what is done later is done to
//! just that. Below the root there are single names only, so that not to follow a link in the last one is to follow none.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, mkdirat, open, openat,
    statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::report::PLUGIN_ID;

/// For us alone.
const PRIVATE: Mode = Mode::RWXU;

/// The plugins root and our directory in it, both open.
#[derive(Debug)]
pub struct Place {
    root: OwnedFd,
    directory: OwnedFd,
}

impl Place {
    /// What there is; `None` where there is nothing yet. Fails where somebody else could put something of theirs in its place.
    pub fn find(root: &Path) -> Result<Option<Self>> {
        let opened = open(
            root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let opened = match opened {
            // A file is found out when the root is to be made.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened.with_context(|| format!("cannot open {}", root.display()))?,
        };
        check_root(root, &fstat(&opened)?)?;
        Self::within(opened, root)
    }

    fn within(root: OwnedFd, path: &Path) -> Result<Option<Self>> {
        let path = path.join(PLUGIN_ID);
        let path = path.display();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match openat(&root, PLUGIN_ID, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => bail!(
                "{path} is no directory (a symbolic link is none): remove it, or choose another --plugins-root"
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot open {path}")),
        };
        let owner = fstat(&directory)?.st_uid;
        if owner != geteuid().as_raw() {
            bail!("{path} belongs to user {owner}: remove it, or choose another --plugins-root");
        }
        Ok(Some(Self { root, directory }))
    }

    /// Makes whatever is not there.
    pub fn make(root: &Path) -> Result<Self> {
        make_root(root)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = open(root, flags, Mode::empty())?;
        check_root(root, &fstat(&opened)?)?;
        match mkdirat(&opened, PLUGIN_ID, PRIVATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| not_writable(root)),
        }
        let place = Self::within(opened, root)?.context("our directory vanished at once")?;
        // One that was there already may be open to others.
        fchmod(&place.directory, PRIVATE)?;
        Ok(place)
    }

    /// Two agents that start at the same moment must not clear away each other's socket. `None` where somebody else has the lock.
    pub fn try_lock(&self) -> io::Result<Option<Lock<'_>>> {
        match flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(self))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A path that leads to this very directory, wherever it is now.
    pub fn join(&self, name: &str) -> PathBuf {
        PathBuf::from(format!(
            "/proc/self/fd/{}/{name}",
            self.directory.as_raw_fd()
        ))
    }

    /// What has the name in it, if anything.
    pub fn look(&self, name: &str) -> io::Result<Option<Stat>> {
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    /// Removes the directory, if it is empty: one that holds files of others stays.
    pub fn remove(&self) -> io::Result<()> {
        Ok(unlinkat(&self.root, PLUGIN_ID, AtFlags::REMOVEDIR)?)
    }
}

/// Until it is dropped.
pub struct Lock<'a>(&'a Place);

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let Err(error) = flock(&self.0.directory, FlockOperation::Unlock) {
            log::warn!("the lock of our directory stays: {error}");
        }
    }
}

/// Makes the plugins root, and what leads to it.
pub fn make_root(root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| not_writable(root))
}

fn not_writable(root: &Path) -> String {
    format!(
        "plugins root {} is not writable: run as root, or choose another --plugins-root",
        root.display()
    )
}

/// Whoever may write to it could put something else in the place of our directory, unless it keeps what belongs to others.
fn check_root(path: &Path, found: &Stat) -> Result<()> {
    let path = path.display();
    let owner = found.st_uid;
    if ![0, geteuid().as_raw()].contains(&owner) {
        bail!(
            "plugins root {path} belongs to user {owner}: give it to root, or choose another --plugins-root"
        );
    }
    let mode = Mode::from_raw_mode(found.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX) {
        bail!(
            "others may write to plugins root {path}: chmod go-w, or choose another --plugins-root"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    const NOBODY: u32 = 65534;

    fn root() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let root = folder.path().join("plugins");
        fs::create_dir(&root).unwrap();
        (folder, root)
    }

    /// By both ways, for what stands in the place of our directory or of the root.
    fn refused(root: &Path, says: &str) {
        for outcome in [Place::find(root).map(drop), Place::make(root).map(drop)] {
            let error = format!("{:#}", outcome.unwrap_err());
            assert!(error.contains(says), "{error}");
            assert!(error.contains("--plugins-root"), "{error}");
        }
    }

    #[test]
    fn a_link_in_its_place_is_refused_and_leads_nowhere() {
        let (folder, root) = root();
        let victim = folder.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o755)).unwrap();
        symlink(&victim, root.join(PLUGIN_ID)).unwrap();
        refused(&root, "is no directory");
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused_and_left_as_it_is() {
        let (_folder, root) = root();
        let theirs = root.join(PLUGIN_ID);
        fs::create_dir(&theirs).unwrap();
        fs::set_permissions(&theirs, Permissions::from_mode(0o755)).unwrap();
        chown(&theirs, Some(NOBODY), None).expect("the tests run as root");
        refused(&root, "belongs to user 65534");
        assert_eq!(fs::metadata(&theirs).unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_root_that_others_may_write_is_refused_unless_it_is_sticky() {
        let (_folder, root) = root();
        for (mode, says) in [
            (0o777, Some("others may write")),
            (0o775, Some("others may write")),
            (0o1777, None),
            (0o755, None),
        ] {
            fs::set_permissions(&root, Permissions::from_mode(mode)).unwrap();
            match says {
                Some(says) => refused(&root, says),
                None => drop(Place::make(&root).unwrap()),
            }
        }
        chown(&root, Some(NOBODY), None).expect("the tests run as root");
        refused(&root, "belongs to user 65534");
    }

    #[test]
    fn a_lock_is_had_by_one_at_a_time() {
        let (_folder, root) = root();
        let (one, other) = (
            Place::make(&root).unwrap(),
            Place::find(&root).unwrap().unwrap(),
        );
        let lock = one.try_lock().unwrap().unwrap();
        assert!(other.try_lock().unwrap().is_none());
        drop(lock);
        assert!(other.try_lock().unwrap().is_some());
    }
}
