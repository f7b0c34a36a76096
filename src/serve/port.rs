// SPDX-License-Identifier: Apache-2.0
//! The port of the TCP listener. Somebody else may have it, or its address may not be there yet, as where a network comes up later
//! than the agent. That keeps nobody from the report on the plugin's socket: it is tried again until it can be had.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::serve::web::Listen;

/// The pause before the second try; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What has come of the wish to listen.
#[derive(Debug)]
pub enum Port {
    Unwanted,
    Bound(TcpListener),
    Awaited(SocketAddr, Obstacle),
}

/// What goes away by itself, or when somebody does something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    InUse,
    NoSuchAddress,
}

impl Obstacle {
    fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::AddrInUse => Some(Self::InUse),
            ErrorKind::AddrNotAvailable => Some(Self::NoSuchAddress),
            _ => None,
        }
    }

    fn tell(self, address: SocketAddr) {
        match self {
            Self::InUse => log::warn!(
                "{address} is in use, so that there are neither page nor metrics until it is free: stop who has it, or choose another --listen"
            ),
            Self::NoSuchAddress => log::warn!(
                "{} is no address of this host yet, so that there are neither page nor metrics until it is: choose another --listen if it will never be",
                address.ip()
            ),
        }
    }
}

impl Port {
    /// Listens, so that clients queue up until they are served. Fails where it would not help to wait.
    pub async fn take(listen: Listen) -> Result<Self> {
        let Listen::On(address) = listen else {
            return Ok(Self::Unwanted);
        };
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self::Bound(listener)),
            Err(error) => match Obstacle::of(&error) {
                Some(obstacle) => {
                    obstacle.tell(address);
                    Ok(Self::Awaited(address, obstacle))
                }
                None => Err(error).with_context(|| {
                    format!(
                        "cannot listen on {address}: choose another --listen ADDRESS:PORT, or --listen none"
                    )
                }),
            },
        }
    }

    /// The port that is still to be had, if there is one.
    pub fn awaited(&self) -> Option<u16> {
        match self {
            Self::Awaited(address, _) => Some(address.port()),
            Self::Unwanted | Self::Bound(_) => None,
        }
    }

    /// Of the port that is there already.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Bound(listener) => listener.local_addr().ok(),
            Self::Unwanted | Self::Awaited(..) => None,
        }
    }

    /// When it is there. `None` where nobody wants it.
    pub async fn listener(self) -> Option<TcpListener> {
        let (address, mut obstacle) = match self {
            Self::Unwanted => return None,
            Self::Bound(listener) => return Some(listener),
            Self::Awaited(address, obstacle) => (address, obstacle),
        };
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            match TcpListener::bind(address).await {
                Ok(listener) => return Some(listener),
                Err(error) => match Obstacle::of(&error) {
                    Some(now) if now != obstacle => {
                        now.tell(address);
                        obstacle = now;
                    }
                    _ => log::debug!("still no {address}: {error}"),
                },
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener as StdListener;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_in_use_is_had_when_it_is_free() {
        let taken = StdListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let port = Port::take(Listen::On(address)).await.unwrap();
        assert_eq!(port.awaited(), Some(address.port()));
        let mut listener = Box::pin(port.listener());
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, &mut listener).await.is_err());
        drop(taken);
        let listener = timeout(LONGEST_PAUSE, listener).await.unwrap().unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn what_is_not_there_yet_is_awaited_and_what_nobody_can_have_is_an_error_at_once() {
        // For documentation (RFC 5737).
        let elsewhere = Listen::On("192.0.2.1:9476".parse().unwrap());
        let port = Port::take(elsewhere).await.unwrap();
        assert!(
            matches!(port, Port::Awaited(_, Obstacle::NoSuchAddress)),
            "{port:?}"
        );
        assert_eq!(port.awaited(), Some(9476));
        // Of the whole network at once.
        let nowhere = Listen::On("[ff02::1]:9476".parse().unwrap());
        let error = Port::take(nowhere).await.unwrap_err().to_string();
        assert!(error.contains("choose another --listen"), "{error}");
        assert!(
            Port::take(Listen::None)
                .await
                .unwrap()
                .listener()
                .await
                .is_none()
        );
    }
}
