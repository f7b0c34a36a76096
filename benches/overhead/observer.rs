// SPDX-License-Identifier: Apache-2.0
//! What everybody who watches can do.

use anyhow::Result;

/// Something that sees requests while it is attached and stays loaded when it is not.
pub trait Observer {
    fn attach(&mut self) -> Result<()>;
    fn detach(&mut self) -> Result<()>;
    /// Requests of this process since the program was loaded, where it can tell.
    fn requests(&mut self, pid: u32) -> Result<Option<u64>>;
}
