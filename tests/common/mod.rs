// SPDX-License-Identifier: Apache-2.0
//! What several test programs share.

// Each test program compiles this module for itself and uses only a part of it.
#![allow(dead_code)]

pub mod agent;
