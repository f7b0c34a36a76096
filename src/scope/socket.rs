// SPDX-License-Identifier: Apache-2.0
//! Life cycle of the plugin's socket: the probe takes a socket for a plugin that is ready.
//!
//! The plugins root belongs to Weave Scope. Only the directory below it is ours: it keeps others out (mode 0700), is
//! made again when it is wiped away, and goes with the agent.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use tokio::net::{UnixListener, UnixStream};

use crate::report::PLUGIN_ID;

/// Bytes of a socket's path that the kernel takes, without the final NUL.
const PATH_MAX: usize = 107;

/// Where the socket belongs.
#[derive(Clone, Debug)]
pub struct Endpoint {
    root: PathBuf,
    directory: PathBuf,
    path: PathBuf,
}

impl Endpoint {
    pub fn below(root: &Path) -> Result<Self> {
        let directory = root.join(PLUGIN_ID);
        let path = directory.join(format!("{PLUGIN_ID}.sock"));
        let length = path.as_os_str().as_bytes().len();
        ensure!(
            length <= PATH_MAX,
            "socket path {} has {length} bytes and the kernel takes {PATH_MAX}: choose a shorter --plugins-root",
            path.display()
        );
        Ok(Self {
            root: root.to_owned(),
            directory,
            path,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes way for a new socket: removes what a killed run has left, and refuses where something else is there.
    pub async fn clear(&self) -> Result<()> {
        match self.lock() {
            Ok(_lock) => self.clear_locked().await,
            // There is nothing yet, or nothing for us: that shows when the socket is bound.
            Err(_) => Ok(()),
        }
    }

    async fn clear_locked(&self) -> Result<()> {
        let path = self.path.display();
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.file_type().is_socket() => {}
            Ok(_) => bail!("{path} is not a socket: remove it, or choose another --plugins-root"),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("cannot look at {path}")),
        }
        match UnixStream::connect(&self.path).await {
            Ok(_) => bail!(
                "another instance is serving {path}: stop it, or choose another --plugins-root"
            ),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                log::debug!("replacing {path}, which nobody serves any more");
                fs::remove_file(&self.path).with_context(|| format!("cannot remove stale {path}"))
            }
            Err(error) => Err(error)
                .with_context(|| format!("cannot tell whether another instance is serving {path}")),
        }
    }

    /// Makes the directory and the socket in it.
    pub async fn bind(&self) -> Result<BoundSocket> {
        self.make_directory().with_context(|| {
            format!(
                "plugins root {} is not writable: run as root, or choose another --plugins-root",
                self.root.display()
            )
        })?;
        let _lock = self
            .lock()
            .with_context(|| format!("cannot lock {}", self.directory.display()))?;
        self.clear_locked().await?;
        let listener = UnixListener::bind(&self.path)
            .with_context(|| format!("cannot make socket {}", self.path.display()))?;
        let identity = Identity::of(&self.path)
            .with_context(|| format!("{} vanished at once", self.path.display()))?;
        Ok(BoundSocket {
            listener,
            identity,
            endpoint: self.clone(),
        })
    }

    fn make_directory(&self) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        match fs::DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // One that was there already may be open to others.
        fs::set_permissions(&self.directory, Permissions::from_mode(0o700))
    }

    /// Until it is dropped: two agents that start at the same moment must not clear away each other's socket.
    fn lock(&self) -> io::Result<File> {
        let directory = File::open(&self.directory)?;
        flock(&directory, FlockOperation::LockExclusive)?;
        Ok(directory)
    }
}

/// A listening socket. File and directory are removed when it is dropped, if they are still its own.
#[derive(Debug)]
pub struct BoundSocket {
    pub listener: UnixListener,
    identity: Identity,
    endpoint: Endpoint,
}

impl BoundSocket {
    /// Whether clients that connect to the path still come here.
    pub fn is_in_place(&self) -> bool {
        Identity::of(&self.endpoint.path).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if !self.is_in_place() {
            return;
        }
        // A directory that holds files of others stays.
        if let Err(error) = fs::remove_file(&self.endpoint.path)
            .and_then(|()| fs::remove_dir(&self.endpoint.directory))
        {
            log::warn!("cannot remove {}: {error}", self.endpoint.path.display());
        }
    }
}

/// Which file it is. An open socket holds its inode, so the number is not reused while there is a [`BoundSocket`].
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdListener;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn endpoint() -> (tempfile::TempDir, Endpoint) {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let endpoint = Endpoint::below(&folder.path().join("plugins")).unwrap();
        (folder, endpoint)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn path_of_107_bytes_is_the_longest() {
        let tail = "/http-statistics/http-statistics.sock".len();
        let root = |length: usize| PathBuf::from(format!("/{}", "r".repeat(length - tail - 1)));
        assert!(Endpoint::below(&root(107)).is_ok());
        let error = Endpoint::below(&root(108)).unwrap_err().to_string();
        assert!(error.contains("108 bytes"), "{error}");
    }

    #[tokio::test]
    async fn directory_is_private_and_goes_with_the_socket() {
        let (_folder, endpoint) = endpoint();
        let socket = endpoint.bind().await.unwrap();
        assert_eq!(mode(&endpoint.directory), 0o700);
        assert!(socket.is_in_place());
        drop(socket);
        assert!(!endpoint.directory.exists());
        assert!(endpoint.root.exists());
    }

    #[tokio::test]
    async fn an_open_directory_is_closed_and_files_of_others_stay() {
        let (_folder, endpoint) = endpoint();
        fs::create_dir_all(&endpoint.directory).unwrap();
        fs::set_permissions(&endpoint.directory, Permissions::from_mode(0o755)).unwrap();
        let other = endpoint.directory.join("other");
        fs::write(&other, "").unwrap();
        drop(endpoint.bind().await.unwrap());
        assert_eq!(mode(&endpoint.directory), 0o700);
        assert!(other.exists());
        assert!(!endpoint.path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let (_folder, endpoint) = endpoint();
        fs::create_dir_all(&endpoint.directory).unwrap();
        let live = StdListener::bind(&endpoint.path).unwrap();
        let error = endpoint.bind().await.unwrap_err().to_string();
        assert!(error.starts_with("another instance is serving"), "{error}");
        drop(live);
        assert!(endpoint.bind().await.unwrap().is_in_place());
    }

    #[test]
    fn of_many_at_the_same_moment_one_gets_the_place() {
        for _ in 0..30 {
            let (_folder, endpoint) = endpoint();
            fs::create_dir_all(&endpoint.directory).unwrap();
            // What a killed one has left, which each of them may take away.
            drop(StdListener::bind(&endpoint.path).unwrap());
            let start = Barrier::new(4);
            let bind = || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                start.wait();
                let bound = runtime.block_on(endpoint.bind());
                // Nobody leaves before all have tried.
                start.wait();
                bound
                    .map(|socket| assert!(socket.is_in_place()))
                    .map_err(|error| error.to_string())
            };
            let outcomes: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(bind)).collect();
                threads.into_iter().map(|it| it.join().unwrap()).collect()
            });
            let served = outcomes.iter().filter(|it| it.is_ok()).count();
            assert_eq!(served, 1, "{outcomes:?}");
            let refused = outcomes.iter().filter_map(|it| it.as_ref().err());
            for error in refused {
                assert!(error.starts_with("another instance is serving"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let (_folder, endpoint) = endpoint();
        fs::create_dir_all(&endpoint.directory).unwrap();
        fs::write(&endpoint.path, "precious").unwrap();
        let error = endpoint.bind().await.unwrap_err().to_string();
        assert!(error.contains("is not a socket"), "{error}");
        assert_eq!(fs::read(&endpoint.path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_socket_that_took_the_place_is_left_alone() {
        let (_folder, endpoint) = endpoint();
        let first = endpoint.bind().await.unwrap();
        fs::remove_dir_all(&endpoint.root).unwrap();
        assert!(!first.is_in_place());
        let second = endpoint.bind().await.unwrap();
        drop(first);
        assert!(second.is_in_place());
    }

    #[tokio::test]
    async fn a_file_in_place_of_the_root_is_an_error_that_says_what_to_do() {
        let (folder, _) = endpoint();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Endpoint::below(&file).unwrap().bind().await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("is not writable"), "{text}");
        assert!(text.contains("--plugins-root"), "{text}");
    }
}
