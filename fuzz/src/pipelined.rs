// SPDX-License-Identifier: Apache-2.0
//! Pipelines of unlike requests, deeper than a connection holds, so that the rest waits in a map; and what may come of it where
//! that map loses some.

use fastrand::Rng;

use crate::account::Account;
use crate::conversation::{any_request, final_response};
use crate::cut::cut;
use crate::http1::{self, Way};
use crate::message::{Manner, choose};
use crate::script::Script;
use crate::transfer::Conversation;

pub struct Pipelined {
    pub conversation: Conversation,
    /// Numbers of the requests that came when all before them had been answered.
    firsts: Vec<usize>,
}

/// Not `HEAD`: whether the answer to it has a body can only be known with the request.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"];

pub fn random(seed: u64) -> Pipelined {
    let rng = &mut Rng::with_seed(seed);
    let mut script = Script::default();
    let mut firsts = Vec::new();
    let mut requests = 0;
    for _ in 0..rng.u8(2..6) {
        script.client_waits();
        firsts.push(requests);
        let methods: Vec<_> = (0..rng.u8(1..20)).map(|_| choose(rng, &METHODS)).collect();
        let mut ends = Vec::new();
        for method in &methods {
            let asking = any_request(rng, Manner::Neat, method);
            script.receive.push(&asking);
            ends.push(script.receive.bytes.len());
        }
        for (method, end) in methods.iter().zip(ends) {
            script.server_waits(end);
            let answering = final_response(rng, Manner::Neat, method);
            script.send.push(&answering);
        }
        requests += methods.len();
    }
    Pipelined {
        conversation: cut(script, Manner::Neat, rng),
        firsts,
    }
}

impl Pipelined {
    /// What is wrong with how it is followed where the map loses some, if anything is: an answer whose request was lost is
    /// unmatched, no other request is taken for it, and once all have been answered nothing more is lost.
    pub fn wrong(&self, expected: &Account) -> Option<String> {
        let followed = http1::follow(&self.conversation, Way::Forgetful);
        let matched = &followed.matched;
        if matched.len() != expected.responses.len() {
            return Some(format!("{} answers were seen", matched.len()));
        }
        let mut lossy = Account {
            requests: expected.requests.clone(),
            ..Account::default()
        };
        for (response, matched) in expected.responses.iter().zip(matched) {
            match matched {
                true => lossy.responses.push(*response),
                false => lossy.unmatched.push(response.status),
            }
        }
        let counted = &followed.account;
        if *counted != lossy {
            return Some(format!("could be\n{lossy}\n\nwhere it forgot\n{counted}"));
        }
        let first = self.firsts.iter().find(|first| !matched[**first]);
        first.map(|first| format!("answer {first} is unmatched, and none was outstanding"))
    }
}
