// SPDX-License-Identifier: Apache-2.0
//! The page: the last minute of every process, live in a browser.

pub mod assets;
pub mod history;
pub mod live;
pub mod recent;
pub mod view;
