// SPDX-License-Identifier: Apache-2.0
//! Two decoders of HPACK, in C and in Rust, that have to agree before they say anything about a third one.

use fluke_hpack::Decoder;

use crate::http2::block::Field;
use crate::http2::nghttp2::Inflater;

pub struct Oracle {
    inflater: Inflater,
    decoder: Decoder<'static>,
}

impl Oracle {
    /// For tables of at most that size.
    pub fn new(allowed: usize) -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(allowed);
        Self {
            inflater: Inflater::new(allowed),
            decoder,
        }
    }

    pub fn block(&mut self, block: &[u8]) -> Vec<Field> {
        let fields = self.inflater.block(block).expect("a valid block");
        let others = self.decoder.decode(block).expect("a valid block");
        assert_eq!(fields, others, "the oracles differ");
        fields
    }
}
