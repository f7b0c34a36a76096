// SPDX-License-Identifier: Apache-2.0
//! The encoder and the decoder of nghttp2, behind safe interfaces.

use std::ptr;

use libnghttp2_sys as sys;

use crate::http2::block::Field;

pub struct Deflater(*mut sys::nghttp2_hd_deflater);

impl Deflater {
    /// Whose table is never larger than that.
    pub fn new(most: usize) -> Self {
        let mut deflater = ptr::null_mut();
        // SAFETY: it is given a place for the pointer, which it only leaves null where it fails.
        let failed = unsafe { sys::nghttp2_hd_deflate_new(&raw mut deflater, most) };
        assert_eq!(failed, 0, "nghttp2_hd_deflate_new");
        Self(deflater)
    }

    pub fn resize(&mut self, size: usize) {
        // SAFETY: made by nghttp2_hd_deflate_new.
        let failed = unsafe { sys::nghttp2_hd_deflate_change_table_size(self.0, size) };
        assert_eq!(failed, 0, "nghttp2_hd_deflate_change_table_size");
    }

    pub fn block(&mut self, fields: &[Field]) -> Vec<u8> {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| sys::nghttp2_nv {
                name: name.as_ptr().cast_mut(),
                value: value.as_ptr().cast_mut(),
                namelen: name.len(),
                valuelen: value.len(),
                flags: 0,
            })
            .collect();
        // SAFETY: the fields' strings outlive the calls, which do not write to them, and the buffer is as large as asked
        // for.
        unsafe {
            let most = sys::nghttp2_hd_deflate_bound(self.0, fields.as_ptr(), fields.len());
            let mut out = vec![0; most];
            let length = sys::nghttp2_hd_deflate_hd2(
                self.0,
                out.as_mut_ptr(),
                out.len(),
                fields.as_ptr(),
                fields.len(),
            );
            out.truncate(usize::try_from(length).expect("nghttp2_hd_deflate_hd2"));
            out
        }
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        // SAFETY: made by nghttp2_hd_deflate_new and not used after this.
        unsafe { sys::nghttp2_hd_deflate_del(self.0) }
    }
}

pub struct Inflater(*mut sys::nghttp2_hd_inflater);

impl Inflater {
    pub fn new(allowed: usize) -> Self {
        let mut inflater = ptr::null_mut();
        // SAFETY: it is given a place for the pointer, which it only leaves null where it fails.
        let failed = unsafe {
            sys::nghttp2_hd_inflate_new(&raw mut inflater)
                | sys::nghttp2_hd_inflate_change_table_size(inflater, allowed)
        };
        assert_eq!(failed, 0, "nghttp2_hd_inflate_new");
        Self(inflater)
    }

    /// `None` if the block is not valid.
    pub fn block(&mut self, mut block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            // SAFETY: all zeros is a valid value of it.
            let mut nv: sys::nghttp2_nv = unsafe { std::mem::zeroed() };
            let mut flags = 0;
            // SAFETY: the block is a slice; a field that is emitted lives until the next call.
            let field = unsafe {
                let taken = sys::nghttp2_hd_inflate_hd2(
                    self.0,
                    &raw mut nv,
                    &raw mut flags,
                    block.as_ptr(),
                    block.len(),
                    1,
                );
                block = &block[usize::try_from(taken).ok()?..];
                (flags as u32 & sys::NGHTTP2_HD_INFLATE_EMIT != 0).then(|| {
                    (
                        std::slice::from_raw_parts(nv.name, nv.namelen).to_vec(),
                        std::slice::from_raw_parts(nv.value, nv.valuelen).to_vec(),
                    )
                })
            };
            fields.extend(field);
            if flags as u32 & sys::NGHTTP2_HD_INFLATE_FINAL != 0 {
                // SAFETY: made by nghttp2_hd_inflate_new.
                unsafe { sys::nghttp2_hd_inflate_end_headers(self.0) };
                return Some(fields);
            }
            if flags as u32 & sys::NGHTTP2_HD_INFLATE_EMIT == 0 && block.is_empty() {
                return None;
            }
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: made by nghttp2_hd_inflate_new and not used after this.
        unsafe { sys::nghttp2_hd_inflate_del(self.0) }
    }
}
