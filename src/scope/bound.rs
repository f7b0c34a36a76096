// SPDX-License-Identifier: Apache-2.0
//! The plugin's socket while it serves.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::net::UnixListener;

use crate::scope::place::Place;
use crate::scope::socket::Endpoint;

/// A listening socket. File and directory are removed when it is dropped, if they are still its own.
#[derive(Debug)]
pub struct BoundSocket {
    pub listener: UnixListener,
    identity: Identity,
    place: Place,
    endpoint: Endpoint,
}

impl BoundSocket {
    /// Of a listener that has just been bound at the endpoint's name in `place`.
    pub fn new(listener: UnixListener, place: Place, endpoint: Endpoint) -> io::Result<Self> {
        let found = place.look(&endpoint.name)?.ok_or(ErrorKind::NotFound)?;
        Ok(Self {
            listener,
            identity: Identity {
                device: found.st_dev,
                inode: found.st_ino,
            },
            place,
            endpoint,
        })
    }

    /// Whether clients that connect to the path still come here.
    pub fn is_in_place(&self) -> bool {
        Identity::of(self.endpoint.path()).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if !self.is_in_place() {
            return;
        }
        let removed = self
            .place
            .remove_file(&self.endpoint.name)
            .and_then(|()| self.place.remove());
        if let Err(error) = removed {
            log::warn!("cannot remove {}: {error}", self.endpoint.path().display());
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
