// SPDX-License-Identifier: Apache-2.0
//! Names and passwords of those who may ask. A password is known by its bcrypt hash, which is made to take long: so it is looked at
//! in another thread than the one that serves, one at a time, and whoever guesses gets a share of one CPU and no more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign, verify};
use ring::rand::SystemRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// How long somebody waits for their turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a wrong password it is nobody's turn for so many times as long as it took to find that out.
const REST: u32 = 4;
/// A hash of this cost takes a second or two.
const MOST_COST: u32 = 14;
/// Credentials that were right, of which the agent knows at once that they are.
const REMEMBERED: usize = 32;
/// Behind a cost the hash of nobody.
const NOBODY: &str = "abcdefghijklmnopqrstuuzq5lpyZ7Mni3r9uvjSYB2w5gh8PsUi6";

/// What a client says of itself.
#[derive(Clone)]
pub struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// By the Basic scheme (RFC 7617).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, coded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(coded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (name, password) = text.split_once(':')?;
        Some(Self {
            name: name.to_owned(),
            password: password.to_owned(),
        })
    }

    /// As one text that no others have.
    fn joined(&self) -> Vec<u8> {
        [self.name.as_bytes(), b"\0", self.password.as_bytes()].concat()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// Too many others are to be looked at before.
    Busy,
}

pub struct Users {
    hashes: BTreeMap<String, String>,
    /// For names that are not known, which are not to be told by the time that it takes.
    nobody: String,
    /// Of this process, so that nobody can tell what is remembered.
    key: Key,
    right: Mutex<VecDeque<Tag>>,
    turn: Arc<Semaphore>,
}

impl Users {
    pub fn new(hashes: BTreeMap<String, String>) -> Result<Self> {
        let mut highest = 0;
        for (name, hash) in &hashes {
            let parts: bcrypt::HashParts = hash
                .parse()
                .map_err(|_| anyhow!("the password of {name:?} is no bcrypt hash"))?;
            ensure!(
                parts.get_cost() <= MOST_COST,
                "the password of {name:?} has a cost of {}, which takes too long: choose one of 10 to {MOST_COST}",
                parts.get_cost()
            );
            highest = parts.get_cost().max(highest);
        }
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new());
        Ok(Self {
            hashes,
            nobody: format!("$2b${highest:02}${NOBODY}"),
            key: key.map_err(|_| anyhow!("there are no random numbers"))?,
            right: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    fn right(&self) -> MutexGuard<'_, VecDeque<Tag>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether they were found to be right before.
    pub fn know(&self, credentials: &Credentials) -> bool {
        let joined = credentials.joined();
        let right = self.right();
        let mut right = right.iter();
        right.any(|tag| verify(&self.key, &joined, tag.as_ref()).is_ok())
    }

    /// Looks at them, when it is their turn.
    pub async fn verdict(self: Arc<Self>, credentials: Credentials) -> Verdict {
        let turn = timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Verdict::Busy;
        };
        if self.know(&credentials) {
            return Verdict::Right;
        }
        // In a task of its own: it goes on where whoever asks does not wait, and until it is over it is nobody else's turn.
        let looking = tokio::spawn(self.look(credentials, turn));
        looking.await.unwrap_or(Verdict::Wrong)
    }

    async fn look(
        self: Arc<Self>,
        credentials: Credentials,
        turn: OwnedSemaphorePermit,
    ) -> Verdict {
        let hash = self.hashes.get(&credentials.name).cloned();
        let nobody = self.nobody.clone();
        let password = credentials.password.clone();
        let looking = spawn_blocking(move || {
            let start = Instant::now();
            let matches = bcrypt::verify(password, hash.as_ref().unwrap_or(&nobody));
            (hash.is_some() && matches.unwrap_or(false), start.elapsed())
        });
        let (is_right, took) = looking.await.unwrap_or((false, PATIENCE));
        if is_right {
            let mut right = self.right();
            right.truncate(REMEMBERED - 1);
            right.push_front(sign(&self.key, &credentials.joined()));
            return Verdict::Right;
        }
        tokio::spawn(async move {
            sleep(took * REST).await;
            drop(turn);
        });
        Verdict::Wrong
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use hyper::header::HeaderValue;

    use super::*;

    fn credentials(name: &str, password: &str) -> Credentials {
        let coded = BASE64_STANDARD.encode(format!("{name}:{password}"));
        let value = HeaderValue::try_from(format!("basic {coded}")).unwrap();
        Credentials::of(&HeaderMap::from_iter([(AUTHORIZATION, value)])).unwrap()
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }

    fn users() -> Arc<Users> {
        let hash = bcrypt::hash("se:cret", 4).unwrap();
        Arc::new(Users::new([("prometheus".to_owned(), hash)].into()).unwrap())
    }

    #[tokio::test]
    async fn right_is_who_knows_the_password_of_that_name() {
        let users = users();
        let right = credentials("prometheus", "se:cret");
        assert!(!users.know(&right));
        for (name, password) in [
            ("prometheus", "secret"),
            ("grafana", "se:cret"),
            ("prometheus", ""),
            ("", ""),
        ] {
            let wrong = credentials(name, password);
            let verdict = Arc::clone(&users).verdict(wrong.clone()).await;
            assert_eq!(verdict, Verdict::Wrong, "{name}");
            assert!(!users.know(&wrong));
        }
        let verdict = Arc::clone(&users).verdict(right.clone()).await;
        assert_eq!(verdict, Verdict::Right);
        // From now on without being looked at.
        assert!(users.know(&right) && !users.know(&credentials("prometheus", "secret")));
    }

    #[tokio::test]
    async fn a_crowd_that_guesses_is_looked_at_one_by_one() {
        let users = users();
        let held = Arc::clone(&users.turn).acquire_owned().await.unwrap();
        tokio::time::pause();
        let verdict = Arc::clone(&users).verdict(credentials("prometheus", "guess"));
        assert_eq!(verdict.await, Verdict::Busy);
        drop(held);
    }

    #[tokio::test]
    async fn who_does_not_wait_for_the_verdict_still_has_the_turn() {
        // Takes long enough to be left.
        let hash = bcrypt::hash("se:cret", 8).unwrap();
        let users = Arc::new(Users::new([("prometheus".to_owned(), hash)].into()).unwrap());
        let mut asked = Box::pin(Arc::clone(&users).verdict(credentials("prometheus", "guess")));
        assert!(poll_once(&mut asked).await.is_pending());
        drop(asked);
        assert_eq!(users.turn.available_permits(), 0);
        let verdict = Arc::clone(&users).verdict(credentials("prometheus", "se:cret"));
        assert_eq!(verdict.await, Verdict::Right);
    }

    #[test]
    fn a_name_that_is_not_known_costs_what_the_dearest_does() {
        let hashes = [("a", 4), ("b", 6)]
            .map(|(name, cost)| (name.to_owned(), bcrypt::hash("se:cret", cost).unwrap()));
        let users = Users::new(hashes.into()).unwrap();
        let parts: bcrypt::HashParts = users.nobody.parse().unwrap();
        assert_eq!(parts.get_cost(), 6);
        assert!(!bcrypt::verify("se:cret", &users.nobody).unwrap());
    }

    #[test]
    fn hashes_that_are_none_or_take_too_long_are_refused() {
        let refusal = |hash: &str| {
            let users = [("name".to_owned(), hash.to_owned())].into();
            Users::new(users).err().map(|error| error.to_string())
        };
        assert!(refusal("secret").unwrap().contains("no bcrypt hash"));
        let costly = refusal(&format!("$2b$15${NOBODY}"));
        assert!(costly.unwrap().contains("cost of 15"));
        assert_eq!(refusal(&format!("$2y$14${NOBODY}")), None);
        assert_eq!(refusal(&format!("$2b$10${NOBODY}")), None);
    }

    #[test]
    fn what_is_no_basic_scheme_is_nobody() {
        for value in ["", "Basic", "Bearer abc", "Basic %%%", "Basic bm9jb2xvbg=="] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            assert!(Credentials::of(&headers).is_none());
        }
    }
}
