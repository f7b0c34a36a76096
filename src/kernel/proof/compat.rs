// SPDX-License-Identifier: Apache-2.0
//! System calls as 32-bit programs make them, where this kernel has them.

#[cfg(target_arch = "x86_64")]
pub use self::x86::Compat;

/// On other processors a 64-bit program cannot make them.
#[cfg(not(target_arch = "x86_64"))]
pub enum Compat {}

#[cfg(not(target_arch = "x86_64"))]
impl Compat {
    pub fn new() -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub fn read(&mut self, _: std::os::fd::BorrowedFd<'_>, _: usize) -> std::io::Result<usize> {
        match *self {}
    }

    pub fn write(&mut self, _: std::os::fd::BorrowedFd<'_>, _: &[u8]) -> std::io::Result<usize> {
        match *self {}
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::ptr::{copy_nonoverlapping, null_mut};
    use std::sync::OnceLock;

    use libc::{
        MAP_32BIT, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, SIGSEGV, SIGSYS,
        WEXITSTATUS, WIFEXITED, c_int, mmap, munmap,
    };

    const READ: u32 = 3;
    const WRITE: u32 = 4;
    const GETPID: u32 = 20;
    const ROOM: usize = 4096;

    /// A buffer below 4 GiB, which such calls can name.
    pub struct Compat {
        address: u32,
    }

    impl Compat {
        pub fn new() -> io::Result<Self> {
            static KNOWN: OnceLock<bool> = OnceLock::new();
            if !*KNOWN.get_or_init(can_be_made) {
                return Err(io::ErrorKind::Unsupported.into());
            }
            // SAFETY: a new mapping of nothing.
            let start = unsafe {
                mmap(
                    null_mut(),
                    ROOM,
                    PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
                    -1,
                    0,
                )
            };
            if start == MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let address = u32::try_from(start.addr()).map_err(io::Error::other)?;
            Ok(Self { address })
        }

        pub fn read(&mut self, socket: BorrowedFd<'_>, room: usize) -> io::Result<usize> {
            self.call(READ, socket, room.min(ROOM))
        }

        pub fn write(&mut self, socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(ROOM);
            // SAFETY: the mapping is as long, and nobody else knows of it.
            unsafe { copy_nonoverlapping(bytes.as_ptr(), self.address as *mut u8, length) };
            self.call(WRITE, socket, length)
        }

        fn call(
            &mut self,
            number: u32,
            socket: BorrowedFd<'_>,
            length: usize,
        ) -> io::Result<usize> {
            let fd = socket.as_raw_fd().cast_unsigned();
            // SAFETY: the mapping is at least as long.
            let result = unsafe { call(number, [fd, self.address, length as u32]) };
            usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
        }
    }

    impl Drop for Compat {
        fn drop(&mut self) {
            // SAFETY: `new` has made it, and nobody else knows of it. It cannot fail for a mapping that there is.
            unsafe { munmap(self.address as *mut _, ROOM) };
        }
    }

    /// A kernel without such calls, or a filter of system calls, ends whoever makes one: it is tried in a process that is
    /// there for nothing else.
    fn can_be_made() -> bool {
        extern "C" fn end(_: c_int) {
            // SAFETY: it may be called at any time.
            unsafe { libc::_exit(1) }
        }
        // SAFETY: until it ends, the child makes only system calls, which is allowed in the copy of a threaded program.
        let child = unsafe { libc::fork() };
        match child {
            -1 => false,
            0 => {
                let handler = end as extern "C" fn(c_int) as libc::sighandler_t;
                // SAFETY: the handler does what a handler may. It is there so that the kernel does not log a crash.
                unsafe {
                    libc::signal(SIGSEGV, handler);
                    libc::signal(SIGSYS, handler);
                    let known = call(GETPID, [0; 3]) > 0;
                    libc::_exit(c_int::from(!known))
                }
            }
            _ => {
                let mut status = 0;
                // SAFETY: the kernel writes one number, which outlives the call.
                while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
                    if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                        return false;
                    }
                }
                WIFEXITED(status) && WEXITSTATUS(status) == 0
            }
        }
    }

    /// What the kernel returns: a negative error number, or what the call is for.
    ///
    /// # Safety
    /// As for the call itself.
    unsafe fn call(number: u32, arguments: [u32; 3]) -> i32 {
        let [first, second, third] = arguments;
        let mut result = number;
        // SAFETY: the caller's affair.
        unsafe {
            asm!(
                "xchg rbx, {first:r}",
                "int 0x80",
                "xchg rbx, {first:r}",
                first = inout(reg) u64::from(first) => _,
                inout("eax") result,
                in("ecx") second,
                in("edx") third,
                in("esi") 0,
                in("edi") 0,
                out("r8") _,
                out("r9") _,
                out("r10") _,
                out("r11") _,
            );
        }
        result.cast_signed()
    }
}
