// SPDX-License-Identifier: Apache-2.0
//! Which scraper has seen what. A counter that a scraper sees for the first time tells it nothing of how far it has just come,
//! so that `increase()` would miss it: who has been here before sees a new one at 0 first.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

/// More than there are on any host. One that is forgotten sees new counters as they are.
const REMEMBERED: usize = 16;

/// What tells scrapers apart.
pub type Scraper = (IpAddr, String);

/// When the counters were read that each scraper was shown last; the latest scrape is at the end.
#[derive(Default)]
pub struct Scrapers {
    latest: VecDeque<(Scraper, Instant)>,
}

impl Scrapers {
    /// A scraper is shown counters that were read at `taken`. Returns when those were that it was shown before.
    pub fn scrape(&mut self, scraper: Scraper, taken: Instant) -> Option<Instant> {
        let known = self.latest.iter().position(|(it, _)| *it == scraper);
        let before = known.and_then(|index| self.latest.remove(index));
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back((scraper, taken));
        before.map(|(_, taken)| taken)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_has_its_own_past_and_only_so_many_have_one() {
        let mut scrapers = Scrapers::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let scraper = |n: u8| (IpAddr::from([127, 0, 0, n]), "Prometheus/3".to_owned());
        assert_eq!(scrapers.scrape(scraper(1), at(0)), None);
        assert_eq!(scrapers.scrape(scraper(2), at(1)), None);
        assert_eq!(scrapers.scrape(scraper(1), at(2)), Some(at(0)));
        assert_eq!(scrapers.scrape(scraper(1), at(3)), Some(at(2)));
        for n in 0..REMEMBERED as u8 {
            scrapers.scrape(scraper(100 + n), at(4));
        }
        assert_eq!(scrapers.scrape(scraper(1), at(5)), None);
        assert_eq!(scrapers.latest.len(), REMEMBERED);
    }
}
