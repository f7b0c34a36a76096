// SPDX-License-Identifier: Apache-2.0
//! What the agent says to itself and in which ways, and whether that was counted. Pure: the talking is done in
//! [`crate::kernel::proof::talk`].

use std::fmt;

use crate::kernel::backend::Backend;
use crate::kernel::proof::script::{BODY, FROM_A_FILE, SPLIT, Script, TWO_REQUESTS};
use crate::kernel::proof::tally::{Miscount, Tally};

/// The system calls by which the server's end receives and sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    ReadWrite,
    ReadvWritev,
    RecvfromSendto,
    RecvmsgSendmsg,
    RecvmmsgSendmmsg,
    /// Bodies come from a file.
    Sendfile,
    IoUring,
    /// As 32-bit programs make them.
    Compat,
}

impl Calls {
    /// Those that every backend sees, and then those of `fexit` alone.
    pub fn of(backend: Backend) -> &'static [Self] {
        const ALL: [Calls; 8] = [
            Calls::ReadWrite,
            Calls::ReadvWritev,
            Calls::RecvfromSendto,
            Calls::RecvmsgSendmsg,
            Calls::RecvmmsgSendmmsg,
            Calls::Sendfile,
            Calls::IoUring,
            Calls::Compat,
        ];
        match backend {
            Backend::Fexit => &ALL,
            Backend::Sock | Backend::Syscall => &ALL[..6],
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadWrite => "read/write",
            Self::ReadvWritev => "readv/writev",
            Self::RecvfromSendto => "recvfrom/sendto",
            Self::RecvmsgSendmsg => "recvmsg/sendmsg",
            Self::RecvmmsgSendmmsg => "recvmmsg/sendmmsg",
            Self::Sendfile => "read/sendfile",
            Self::IoUring => "io_uring",
            Self::Compat => "32-bit read/write",
        })
    }
}

/// What the two ends are connected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Tcp,
    Tcp6,
    Unix,
}

impl Family {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Unix, Self::Tcp6];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp over IPv6",
            Self::Unix => "a unix socket",
        })
    }
}

/// Something to talk about, and the way in which to do so.
#[derive(Clone, Copy, Debug)]
pub struct Conversation {
    pub script: &'static Script,
    pub calls: Calls,
    pub family: Family,
}

/// All that a backend has to count. Each way and each family comes soon, should time run out: all ways by one family each, and
/// then by the others.
pub fn of(backend: Backend) -> Vec<Conversation> {
    let by_calls = Calls::of(backend).iter().map(|calls| match calls {
        Calls::Sendfile => (&FROM_A_FILE, *calls),
        _ => (&TWO_REQUESTS, *calls),
    });
    let others = [&SPLIT, &BODY].map(|script| (script, Calls::ReadWrite));
    let ways: Vec<(&Script, Calls)> = by_calls.chain(others).collect();
    let families = Family::ALL.len();
    let rounds = (0..families).flat_map(|round| {
        (ways.iter().enumerate()).map(move |(index, &(script, calls))| Conversation {
            script,
            calls,
            family: Family::ALL[(index + round) % families],
        })
    });
    rounds.collect()
}

impl Conversation {
    /// Whether it has counted as what it was.
    pub fn compare(&self, counted: Tally) -> Result<(), Miscount> {
        let sent = self.script.tally();
        if counted == sent {
            return Ok(());
        }
        Err(Miscount {
            conversation: self.to_string(),
            sent,
            counted,
        })
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            script,
            calls,
            family,
        } = self;
        write!(f, "{calls} over {family}")?;
        if !script.what.is_empty() {
            write!(f, ", {}", script.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::kernel::proof::script::{KINDS, ONE_REQUEST};

    use super::*;

    const OVER_TCP: Conversation = Conversation {
        script: &TWO_REQUESTS,
        calls: Calls::RecvmsgSendmsg,
        family: Family::Tcp,
    };

    fn said(counted: Tally) -> String {
        OVER_TCP.compare(counted).unwrap_err().to_string()
    }

    #[test]
    fn what_went_in_has_to_come_out() {
        assert_eq!(OVER_TCP.compare(TWO_REQUESTS.tally()), Ok(()));
        assert_eq!(
            said(Tally::default()),
            "recvmsg/sendmsg over tcp: sent 2 requests (GET 1.1 200, HEAD 1.0 404), counted 0 requests (no answer)"
        );
        let mut twice = TWO_REQUESTS.tally();
        twice.requests = 1;
        twice.answers.values_mut().for_each(|count| *count *= 2);
        assert!(said(twice).ends_with("counted 1 request (GET 1.1 200 × 2, HEAD 1.0 404 × 2)"));
        // The right number of the wrong kind.
        let mut other = TWO_REQUESTS.tally();
        other.answers.pop_first();
        assert!(said(other).ends_with("counted 2 requests (HEAD 1.0 404)"));
    }

    #[test]
    fn only_what_was_added_is_compared() {
        let before = TWO_REQUESTS.tally();
        assert_eq!(before.since(&before), Tally::default());
        assert_eq!(before.since(&Tally::default()), before);
    }

    #[test]
    fn each_backend_is_asked_for_what_it_claims() {
        for (backend, calls) in [
            (Backend::Sock, 6),
            (Backend::Syscall, 6),
            (Backend::Fexit, 8),
        ] {
            let conversations = of(backend);
            assert_eq!(conversations.len(), (calls + 2) * Family::ALL.len());
            let names: BTreeSet<_> = conversations.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), conversations.len(), "a name stands twice");
        }
        assert!(
            of(Backend::Sock)
                .iter()
                .all(|it| it.calls != Calls::IoUring)
        );
    }

    #[test]
    fn there_is_room_for_all_kinds_of_answers() {
        let conversations = of(Backend::Fexit);
        let kinds: BTreeSet<_> = conversations
            .iter()
            .flat_map(|conversation| conversation.script.tally().answers.into_keys())
            .collect();
        assert_eq!(kinds.len(), KINDS as usize);
        assert!(
            ONE_REQUEST
                .tally()
                .answers
                .keys()
                .all(|kind| kinds.contains(kind))
        );
    }
}
