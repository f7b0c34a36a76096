// SPDX-License-Identifier: Apache-2.0
//! The system calls by which the server's end of a conversation receives and sends. Made directly, since a C library may make
//! others in their place.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null_mut;

use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};
use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::net::{
    MMsgHdr, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, recv, recvmsg, send,
    sendmmsg, sendmsg,
};

use crate::kernel::proof::compat::Compat;
use crate::kernel::proof::conversations::Calls;

/// Where the first of two buffers ends: within the request line, or the status line.
const CUT: usize = 7;

/// The server's end.
pub struct Server<'a> {
    pub socket: BorrowedFd<'a>,
    calls: Calls,
    ring: Option<IoUring>,
    compat: Option<Compat>,
}

impl<'a> Server<'a> {
    /// Fails where the kernel has no such calls, or does not let us make them.
    pub fn new(calls: Calls, socket: BorrowedFd<'a>) -> io::Result<Self> {
        let ring = match calls {
            Calls::IoUring => Some(IoUring::new(1)?),
            _ => None,
        };
        let compat = match calls {
            Calls::Compat => Some(Compat::new()?),
            _ => None,
        };
        Ok(Self {
            socket,
            calls,
            ring,
            compat,
        })
    }

    /// Receives up to so many bytes, and forgets them.
    pub fn receive(&mut self, room: usize) -> io::Result<usize> {
        let mut buffer = vec![0; room];
        if let Some(ring) = &mut self.ring {
            let fd = Fd(self.socket.as_raw_fd());
            let entry = opcode::Recv::new(fd, buffer.as_mut_ptr(), room as u32).build();
            // SAFETY: the buffer has that length, and lives until the call has returned.
            return unsafe { submit(ring, &entry) };
        }
        if let Some(compat) = &mut self.compat {
            return compat.read(self.socket, room);
        }
        let (first, second) = buffer.split_at_mut(CUT);
        let mut both = [IoSliceMut::new(first), IoSliceMut::new(second)];
        Ok(match self.calls {
            Calls::RecvfromSendto => recv(self.socket, &mut buffer, RecvFlags::empty())?.0,
            Calls::ReadvWritev => rustix::io::readv(self.socket, &mut both)?,
            Calls::RecvmsgSendmsg => {
                let mut control = RecvAncillaryBuffer::default();
                recvmsg(self.socket, &mut both, &mut control, RecvFlags::empty())?.bytes
            }
            Calls::RecvmmsgSendmmsg => recvmmsg(self.socket, &mut both)?,
            _ => rustix::io::read(self.socket, &mut buffer)?,
        })
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(ring) = &mut self.ring {
            let fd = Fd(self.socket.as_raw_fd());
            let entry = opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32).build();
            // SAFETY: as above.
            return unsafe { submit(ring, &entry) };
        }
        if let Some(compat) = &mut self.compat {
            return compat.write(self.socket, bytes);
        }
        let (first, second) = bytes.split_at(CUT);
        let both = [IoSlice::new(first), IoSlice::new(second)];
        Ok(match self.calls {
            Calls::RecvfromSendto => send(self.socket, bytes, SendFlags::empty())?,
            Calls::ReadvWritev => rustix::io::writev(self.socket, &both)?,
            Calls::RecvmsgSendmsg => {
                let mut control = SendAncillaryBuffer::default();
                sendmsg(self.socket, &both, &mut control, SendFlags::empty())?
            }
            Calls::RecvmmsgSendmmsg => send_two_messages(self.socket, &both)?,
            _ => rustix::io::write(self.socket, bytes)?,
        })
    }

    /// Sends bytes that do not lie in the memory of this process.
    pub fn send_from_file(&self, bytes: &[u8]) -> io::Result<usize> {
        let file = memfd_create("proof", MemfdFlags::CLOEXEC)?;
        rustix::io::write(&file, bytes)?;
        Ok(sendfile(self.socket, &file, Some(&mut 0), bytes.len())?)
    }
}

/// One message into these buffers.
fn recvmmsg(socket: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: zeros are a value of it: no message.
    let mut message: libc::mmsghdr = unsafe { zeroed() };
    message.msg_hdr.msg_iov = buffers.as_mut_ptr().cast();
    message.msg_hdr.msg_iovlen = buffers.len();
    // SAFETY: the standard library promises that such buffers look like the kernel's, and all outlives the call.
    let received = unsafe {
        libc::syscall(
            libc::SYS_recvmmsg,
            socket.as_raw_fd(),
            &raw mut message,
            1,
            0,
            null_mut::<libc::timespec>(),
        )
    };
    match received {
        1 => Ok(message.msg_len as usize),
        _ => Err(io::Error::last_os_error()),
    }
}

/// By one call.
fn send_two_messages(socket: BorrowedFd<'_>, both: &[IoSlice<'_>; 2]) -> io::Result<usize> {
    let mut controls = [
        SendAncillaryBuffer::default(),
        SendAncillaryBuffer::default(),
    ];
    let mut buffers = both.chunks(1).zip(&mut controls);
    let mut messages = Vec::new();
    for (buffer, control) in &mut buffers {
        messages.push(MMsgHdr::new(buffer, control));
    }
    sendmmsg(socket, &mut messages, SendFlags::empty())?;
    Ok(messages.iter().map(MMsgHdr::bytes_sent).sum())
}

/// Has the kernel do one thing, and waits for the result. Sockets that do not block make it known at once.
///
/// # Safety
/// The buffers of the entry have to be valid until this returns.
unsafe fn submit(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<usize> {
    // SAFETY: the caller's affair.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)?;
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => {
                outcome?;
                break;
            }
        }
    }
    let completion = ring.completion().next();
    let result = completion.ok_or(io::ErrorKind::TimedOut)?.result();
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
