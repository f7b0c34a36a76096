// SPDX-License-Identifier: Apache-2.0
//! The page: every process, workload, container and unit, live in a browser.

pub mod assets;
pub mod grouping;
pub mod groups;
pub mod heat;
pub mod history;
pub mod live;
pub mod past;
pub mod row;
pub mod stretch;
pub mod track;
pub mod view;
