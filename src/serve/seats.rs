// SPDX-License-Identifier: Apache-2.0
//! The places of those who are connected, of which there are only so many. Where all are taken, a newcomer gets the one of whoever
//! keeps the agent waiting longest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a client may take to read on before it counts as slow.
const GRACE: Duration = Duration::from_secs(1);

/// The places of one listener.
#[derive(Clone)]
pub struct Seats {
    most: usize,
    /// Of these, those whose answers have no end.
    most_endless: usize,
    taken: Arc<Mutex<Vec<Arc<Guest>>>>,
}

/// One who is connected.
struct Guest {
    state: Mutex<State>,
    leave: Notify,
}

#[derive(Clone, Copy)]
struct State {
    /// A whole request has come, and its answer is not there yet.
    answering: bool,
    /// When that began, or when the wait for a request did.
    since: Instant,
    /// The answer has no end.
    endless: bool,
    /// Since when the client reads nothing of what there is for it.
    stuck: Option<Instant>,
}

impl State {
    /// Who is first in this order makes room: those who have not asked for anything, the one who has not for longest first; those
    /// who do not take what they have asked for; and then those whose answer takes longest.
    fn rank(&self, now: Instant) -> (u8, Instant) {
        match self.stuck {
            Some(stuck) if now.duration_since(stuck) > GRACE => (1, stuck),
            None if !self.answering => (0, self.since),
            _ => (2, self.since),
        }
    }
}

impl Seats {
    pub fn new(most: usize, most_endless: usize) -> Self {
        Self {
            most,
            most_endless,
            taken: Arc::default(),
        }
    }

    /// A place for a newcomer.
    pub fn take(&self) -> Seat {
        let mut taken = lock(&self.taken);
        if taken.len() >= self.most {
            make_room(&mut taken, |_| true);
        }
        let guest = Arc::new(Guest {
            state: Mutex::new(State {
                answering: false,
                since: Instant::now(),
                endless: false,
                stuck: None,
            }),
            leave: Notify::new(),
        });
        taken.push(Arc::clone(&guest));
        Seat {
            seats: self.clone(),
            guest,
        }
    }

    /// Has somebody leave, if there is anybody.
    pub fn free_one(&self) {
        make_room(&mut lock(&self.taken), |_| true);
    }
}

/// The first of those who are in question makes room.
fn make_room(taken: &mut Vec<Arc<Guest>>, in_question: impl Fn(&State) -> bool) {
    let now = Instant::now();
    let ranks = taken.iter().enumerate().filter_map(|(index, guest)| {
        let state = lock(&guest.state);
        in_question(&state).then(|| (state.rank(now), index))
    });
    if let Some((_, index)) = ranks.min() {
        taken.swap_remove(index).leave.notify_one();
    }
}

/// A place, until it is dropped or given to somebody else.
pub struct Seat {
    seats: Seats,
    guest: Arc<Guest>,
}

impl Seat {
    /// Until somebody else needs it more.
    pub async fn given_away(&self) {
        self.guest.leave.notified().await;
    }

    /// A whole request has come. Of those whose answers have no end there are only so many, so that one of the others may have to go.
    pub fn asked(&self, endless: bool) {
        let mut taken = lock(&self.seats.taken);
        let count = taken.iter().filter(|it| lock(&it.state).endless).count();
        if endless && count >= self.seats.most_endless {
            make_room(&mut taken, |state| state.endless);
        }
        let mut state = lock(&self.guest.state);
        state.answering = true;
        state.since = Instant::now();
        state.endless = endless;
    }

    /// All of the answer has been said, if not sent.
    pub fn answered(&self) {
        let mut state = lock(&self.guest.state);
        state.answering = false;
        state.since = Instant::now();
        state.endless = false;
    }

    /// Whether the client takes what is sent.
    pub fn takes(&self, takes: bool) {
        let mut state = lock(&self.guest.state);
        state.stuck = if takes {
            None
        } else {
            state.stuck.or_else(|| Some(Instant::now()))
        };
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.seats.taken).retain(|guest| !Arc::ptr_eq(guest, &self.guest));
    }
}

/// Held for moments, by tasks of one thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    /// Who of them has had to go, after a newcomer has come.
    async fn gone(seats: &Seats, guests: &[Seat]) -> Vec<usize> {
        let _newcomer = seats.take();
        those_gone(guests).await
    }

    async fn those_gone(guests: &[Seat]) -> Vec<usize> {
        let mut gone = Vec::new();
        for (index, guest) in guests.iter().enumerate() {
            if timeout(MOMENT, guest.given_away()).await.is_ok() {
                gone.push(index);
            }
        }
        gone
    }

    async fn guests(seats: &Seats, count: usize) -> Vec<Seat> {
        let mut guests = Vec::new();
        for _ in 0..count {
            guests.push(seats.take());
            advance(MOMENT).await;
        }
        guests
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_without_a_request_goes_first() {
        let seats = Seats::new(4, 4);
        let guests = guests(&seats, 4).await;
        guests[0].asked(false);
        assert_eq!(gone(&seats, &guests).await, [1]);
        // Who has had an answer waits since then.
        guests[0].answered();
        let _more = seats.take();
        assert_eq!(gone(&seats, &guests).await, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn then_the_slowest_and_then_the_longest() {
        let seats = Seats::new(3, 3);
        let guests = guests(&seats, 3).await;
        for guest in &guests {
            guest.asked(false);
            advance(MOMENT).await;
        }
        guests[2].takes(false);
        guests[1].takes(false);
        guests[1].takes(true);
        // Not for so short a time.
        assert_eq!(gone(&seats, &guests).await, [0]);
        advance(2 * GRACE).await;
        let newcomer = seats.take();
        newcomer.asked(false);
        assert_eq!(gone(&seats, &guests).await, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_without_an_end_the_oldest_goes_for_another() {
        let seats = Seats::new(8, 2);
        let guests = guests(&seats, 4).await;
        for guest in &guests[..2] {
            guest.asked(true);
            advance(MOMENT).await;
        }
        guests[2].asked(false);
        assert_eq!(those_gone(&guests).await, [0_usize; 0]);
        guests[3].asked(true);
        assert_eq!(those_gone(&guests).await, [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_leaves_a_place() {
        let seats = Seats::new(2, 2);
        let mut guests = guests(&seats, 2).await;
        guests.pop();
        assert_eq!(gone(&seats, &guests).await, [0_usize; 0]);
        seats.free_one();
        assert_eq!(those_gone(&guests).await, [0]);
        seats.free_one();
    }
}
