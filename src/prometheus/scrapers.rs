// SPDX-License-Identifier: Apache-2.0
//! Which scraper has seen what. A counter that a scraper sees for the first time tells it nothing of how far it has just come,
//! so that `increase()` would miss it: who has been here before sees a new one at 0 first.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// More than there are on any host. One that is forgotten sees new counters as they are.
const REMEMBERED: usize = 32;
/// Of these, those that differ by their ports alone: one that connects for each scrape leaves room for others.
const ALIKE: usize = 4;

struct Scraper {
    /// The port tells those apart that share the rest, as behind one proxy, for as long as they stay connected.
    address: SocketAddr,
    agent: String,
    /// When the counters were read that it was shown last.
    shown: Instant,
}

/// The latest scrape is at the end.
#[derive(Default)]
pub struct Scrapers {
    latest: VecDeque<Scraper>,
}

impl Scrapers {
    /// A scraper is shown counters that were read at `taken`. Returns when those were that it was shown before: if its connection is
    /// new, what was shown last to whoever is like it.
    pub fn scrape(&mut self, address: SocketAddr, agent: &str, taken: Instant) -> Option<Instant> {
        let is_it = |it: &Scraper| it.address == address && it.agent == agent;
        let before = match self.latest.iter().position(is_it) {
            Some(index) => self.latest.remove(index).map(|it| it.shown),
            None => {
                let before = self.alike(address.ip(), agent).next_back();
                before.map(|index| self.latest[index].shown)
            }
        };
        let alike = self.alike(address.ip(), agent).collect::<Vec<_>>();
        if alike.len() == ALIKE {
            self.latest.remove(alike[0]);
        } else if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(Scraper {
            address,
            agent: agent.to_owned(),
            shown: taken,
        });
        before
    }

    /// Those that nothing but a port may tell apart.
    fn alike(&self, ip: IpAddr, agent: &str) -> impl DoubleEndedIterator<Item = usize> {
        let all = self.latest.iter().enumerate();
        let alike = all.filter(move |(_, it)| it.address.ip() == ip && it.agent == agent);
        alike.map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AGENT: &str = "Prometheus/3";

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn each_has_its_own_past_and_only_so_many_have_one() {
        let mut scrapers = Scrapers::default();
        let start = Instant::now();
        let at = |seconds| at(start, seconds);
        let mut scrape = |n: u8, seconds| {
            let address = SocketAddr::from(([127, 0, 0, n], 1));
            scrapers.scrape(address, AGENT, at(seconds))
        };
        assert_eq!(scrape(1, 0), None);
        assert_eq!(scrape(2, 1), None);
        assert_eq!(scrape(1, 2), Some(at(0)));
        assert_eq!(scrape(1, 3), Some(at(2)));
        for n in 0..REMEMBERED as u8 {
            scrape(100 + n, 4);
        }
        assert_eq!(scrape(1, 5), None);
        assert_eq!(scrapers.latest.len(), REMEMBERED);
    }

    #[test]
    fn two_behind_one_address_have_each_their_own() {
        let mut scrapers = Scrapers::default();
        let start = Instant::now();
        let at = |seconds| at(start, seconds);
        let mut scrape = |port, seconds| {
            let address = SocketAddr::from(([192, 0, 2, 7], port));
            scrapers.scrape(address, AGENT, at(seconds))
        };
        assert_eq!(scrape(1000, 0), None);
        // It may be the same one, that has connected anew.
        assert_eq!(scrape(2000, 1), Some(at(0)));
        assert_eq!(scrape(1000, 15), Some(at(0)));
        assert_eq!(scrape(2000, 16), Some(at(1)));
    }

    #[test]
    fn one_that_connects_each_time_keeps_its_past_and_leaves_room() {
        let mut scrapers = Scrapers::default();
        let start = Instant::now();
        let other = SocketAddr::from(([192, 0, 2, 8], 1));
        scrapers.scrape(other, AGENT, start);
        for scrape in 0..100 {
            let address = SocketAddr::from(([192, 0, 2, 7], 1000 + scrape));
            let before = scrapers.scrape(address, AGENT, at(start, scrape.into()));
            assert_eq!(before, scrape.checked_sub(1).map(|it| at(start, it.into())));
        }
        let before = scrapers.scrape(other, AGENT, at(start, 100));
        assert_eq!(before, Some(start));
    }
}
