// SPDX-License-Identifier: Apache-2.0
//! The other end: sends what the server receives as soon as it has seen what the server sent before.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use http1_fuzz::transfer::{Conversation, Direction};

pub fn play(connection: OwnedFd, conversation: &Conversation) {
    let mut connection = File::from(connection);
    for transfer in &conversation.transfers {
        let bytes = conversation.bytes(transfer);
        match transfer.direction {
            Direction::Receive => connection.write_all(bytes).unwrap(),
            Direction::Send => {
                let mut sent = vec![0; bytes.len()];
                connection.read_exact(&mut sent).unwrap();
                assert!(sent == bytes, "the server sent something else");
            }
        }
    }
    assert_eq!(connection.read(&mut [0]).unwrap(), 0, "the server went on");
}
