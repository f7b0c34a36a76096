// SPDX-License-Identifier: Apache-2.0
//! What a distribution's start does before any program: file systems, a host name, the loopback device.

use std::fs;
use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::unistd::sethostname;

/// Type and place; tracefs and those after it may be missing from a kernel, or closed by a lockdown.
const FILE_SYSTEMS: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("securityfs", "/sys/kernel/security"),
];

pub fn prepare() -> Result<()> {
    for (kind, place) in FILE_SYSTEMS {
        // A kernel that mounts devices by itself has done so.
        let _ = fs::create_dir(place);
        if let Err(error) = mount(
            Some(kind),
            place,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        ) {
            eprintln!("{kind} cannot be mounted: {error}");
        }
    }
    sethostname("lab")?;
    loopback_up().context("the loopback device")
}

pub fn release() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim().to_owned())
}

/// As `sysctl name=value` does, or the boot parameter of a lockdown.
pub fn set(setting: &str) -> Result<()> {
    let (name, value) = setting.split_once('=').context("no value")?;
    let file = match name {
        "lockdown" => "/sys/kernel/security/lockdown".to_owned(),
        sysctl => format!("/proc/sys/{}", sysctl.replace('.', "/")),
    };
    Ok(fs::write(file, value)?)
}

fn loopback_up() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is one for this call, and outlives it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
