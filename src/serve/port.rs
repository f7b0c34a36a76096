// SPDX-License-Identifier: Apache-2.0
//! The port of the TCP listener. Somebody else may have it, and that keeps nobody from the report on the plugin's socket: it is
//! tried again until it is free.

use std::io::ErrorKind;
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
    InUse(SocketAddr),
}

impl Port {
    /// Listens, so that clients queue up until they are served. Fails where it would not help to wait.
    pub async fn take(listen: Listen) -> Result<Self> {
        let Listen::On(address) = listen else {
            return Ok(Self::Unwanted);
        };
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self::Bound(listener)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                log::warn!(
                    "{address} is in use, so that there are neither page nor metrics until it is free: stop who has it, or choose another --listen"
                );
                Ok(Self::InUse(address))
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot listen on {address}: choose another --listen ADDRESS:PORT, or --listen none"
                )
            }),
        }
    }

    /// The port that is still to be had, if there is one.
    pub fn awaited(&self) -> Option<u16> {
        match self {
            Self::InUse(address) => Some(address.port()),
            Self::Unwanted | Self::Bound(_) => None,
        }
    }

    /// Of the port that is there already.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Bound(listener) => listener.local_addr().ok(),
            Self::Unwanted | Self::InUse(_) => None,
        }
    }

    /// When it is there. `None` where nobody wants it.
    pub async fn listener(self) -> Option<TcpListener> {
        let address = match self {
            Self::Unwanted => return None,
            Self::Bound(listener) => return Some(listener),
            Self::InUse(address) => address,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            match TcpListener::bind(address).await {
                Ok(listener) => return Some(listener),
                Err(error) => log::debug!("still no {address}: {error}"),
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
    async fn what_no_host_can_have_is_an_error_at_once() {
        // For documentation (RFC 5737).
        let elsewhere = Listen::On("192.0.2.1:9476".parse().unwrap());
        let error = Port::take(elsewhere).await.unwrap_err().to_string();
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
