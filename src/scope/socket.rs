// SPDX-License-Identifier: Apache-2.0
//! Life cycle of the plugin's socket: the probe takes a socket for a plugin that is ready.
//!
//! The plugins root belongs to Weave Scope. Only the directory below it is ours ([`crate::scope::place`]): it keeps others out (mode
//! 0700), is made again when it is wiped away, and goes with the agent.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::FileType;
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep};

use crate::report::PLUGIN_ID;
use crate::scope::bound::BoundSocket;
use crate::scope::place::{self, Lock, Place};

/// Bytes of a socket's path that the kernel takes, without the final NUL.
const PATH_MAX: usize = 107;

/// How long somebody else may have the lock: an agent has it for a moment.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Where the socket belongs.
#[derive(Clone, Debug)]
pub struct Endpoint {
    root: PathBuf,
    pub(super) name: String,
    path: PathBuf,
}

impl Endpoint {
    pub fn below(root: &Path) -> Result<Self> {
        let name = format!("{PLUGIN_ID}.sock");
        let path = root.join(PLUGIN_ID).join(&name);
        let length = path.as_os_str().as_bytes().len();
        ensure!(
            length <= PATH_MAX,
            "socket path {} has {length} bytes and the kernel takes {PATH_MAX}: choose a shorter --plugins-root",
            path.display()
        );
        Ok(Self {
            root: root.to_owned(),
            name,
            path,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails where what is there already is not to be trusted.
    pub fn check(&self) -> Result<()> {
        Place::find(&self.root).map(drop)
    }

    /// Makes way for a new socket: removes what a killed run has left, and refuses where something else is there.
    pub async fn clear(&self) -> Result<()> {
        let Some(place) = Place::find(&self.root)? else {
            return Ok(());
        };
        let _lock = self.lock(&place).await?;
        self.clear_locked(&place).await
    }

    async fn clear_locked(&self, place: &Place) -> Result<()> {
        let path = self.path.display();
        let found = place.look(&self.name);
        let Some(found) = found.with_context(|| format!("cannot look at {path}"))? else {
            return Ok(());
        };
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            bail!("{path} is not a socket: remove it, or choose another --plugins-root");
        }
        if found.st_uid != geteuid().as_raw() {
            bail!(
                "{path} belongs to user {}: remove it, or choose another --plugins-root",
                found.st_uid
            );
        }
        match UnixStream::connect(place.join(&self.name)).await {
            Ok(_) => bail!(
                "another instance is serving {path}: stop it, or choose another --plugins-root"
            ),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                log::debug!("replacing {path}, which nobody serves any more");
                place
                    .remove_file(&self.name)
                    .with_context(|| format!("cannot remove stale {path}"))
            }
            Err(error) => Err(error)
                .with_context(|| format!("cannot tell whether another instance is serving {path}")),
        }
    }

    /// Makes the directory in which our own has its place.
    pub fn make_root(&self) -> Result<()> {
        place::make_root(&self.root)
    }

    /// Makes the directory and the socket in it.
    pub async fn bind(&self) -> Result<BoundSocket> {
        let place = Place::make(&self.root)?;
        let listener = {
            let _lock = self.lock(&place).await?;
            self.clear_locked(&place).await?;
            UnixListener::bind(place.join(&self.name))
                .with_context(|| format!("cannot make socket {}", self.path.display()))?
        };
        BoundSocket::new(listener, place, self.clone())
            .with_context(|| format!("{} vanished at once", self.path.display()))
    }

    /// Waits for a moment where somebody else has it, and holds up nobody meanwhile.
    async fn lock<'a>(&self, place: &'a Place) -> Result<Lock<'a>> {
        let directory = self.root.join(PLUGIN_ID);
        let directory = directory.display();
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            let lock = place.try_lock();
            if let Some(lock) = lock.with_context(|| format!("cannot lock {directory}"))? {
                return Ok(lock);
            }
            ensure!(
                Instant::now() < deadline,
                "somebody else has locked {directory}: end whoever has it open, or choose another --plugins-root"
            );
            sleep(LOCK_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener as StdListener;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn endpoint() -> (tempfile::TempDir, Endpoint) {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let endpoint = Endpoint::below(&folder.path().join("plugins")).unwrap();
        (folder, endpoint)
    }

    fn directory(endpoint: &Endpoint) -> &Path {
        endpoint.path.parent().unwrap()
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
        assert_eq!(mode(directory(&endpoint)), 0o700);
        assert!(socket.is_in_place());
        drop(socket);
        assert!(!directory(&endpoint).exists());
        assert!(endpoint.root.exists());
    }

    #[tokio::test]
    async fn an_open_directory_is_closed_and_files_of_others_stay() {
        let (_folder, endpoint) = endpoint();
        fs::create_dir_all(directory(&endpoint)).unwrap();
        fs::set_permissions(directory(&endpoint), Permissions::from_mode(0o755)).unwrap();
        let other = directory(&endpoint).join("other");
        fs::write(&other, "").unwrap();
        drop(endpoint.bind().await.unwrap());
        assert_eq!(mode(directory(&endpoint)), 0o700);
        assert!(other.exists());
        assert!(!endpoint.path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let (_folder, endpoint) = endpoint();
        fs::create_dir_all(directory(&endpoint)).unwrap();
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
            fs::create_dir_all(directory(&endpoint)).unwrap();
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

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_stays_is_an_error_that_says_so() {
        let (_folder, endpoint) = endpoint();
        let place = Place::make(&endpoint.root).unwrap();
        let lock = place.try_lock().unwrap().unwrap();
        for error in [
            endpoint.clear().await.unwrap_err(),
            endpoint.bind().await.unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("somebody else has locked"), "{text}");
        }
        drop(lock);
        assert!(endpoint.bind().await.unwrap().is_in_place());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let (_folder, endpoint) = endpoint();
        fs::create_dir_all(directory(&endpoint)).unwrap();
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
