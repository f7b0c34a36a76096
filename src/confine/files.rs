// SPDX-License-Identifier: Apache-2.0
//! Which files and ports a thread may reach from then on, by Landlock: as much of that as the kernel knows.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, make_bitflags, path_beneath_rules,
};

/// The newest that this was tried with.
const KNOWN: ABI = ABI::V7;

/// What is read of the kernel: processes, programs, CPUs.
const READ: [&str; 2] = ["/proc", "/sys"];

/// What is done to have the plugin's socket in its place.
const SOCKET: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadDir | MakeDir | MakeSock | RemoveDir | RemoveFile});

/// What a thread may do with sockets of TCP, beside those that it has.
#[derive(Clone, Copy, Debug)]
pub enum Tcp {
    Nothing,
    /// Connections, and ports of the kernel's choice.
    TalkToItself,
    /// This port to listen on, if any, and those of others.
    Serve {
        listen: Option<u16>,
        outside: Option<Destination>,
    },
}

/// Where a thread connects to.
#[derive(Clone, Copy, Debug)]
pub struct Destination {
    pub port: u16,
    /// Its address has to be asked for.
    pub by_name: bool,
}

/// What tells of names and where to ask for addresses.
const NAMES: [&str; 5] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
];
/// Of answers that are too long for a datagram.
const DNS: u16 = 53;

/// What the kernel has made of it.
#[derive(Clone, Copy, Debug)]
pub enum Landlock {
    Enforced(i32),
    Absent,
    /// It would forbid too much.
    Unused,
}

impl fmt::Display for Landlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforced(version) => write!(f, "Landlock (version {version})"),
            Self::Absent => f.write_str("no Landlock, which this kernel lacks"),
            Self::Unused => f.write_str("no Landlock"),
        }
    }
}

/// The version of Landlock that this kernel has, if any.
pub fn version() -> Option<i32> {
    const VERSION: u32 = 1;
    // SAFETY: asked for its version, the kernel reads no rules.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            VERSION,
        )
    };
    i32::try_from(version).ok().filter(|version| *version > 0)
}

/// The calling thread, and those that it starts from then on, reach what they read of the kernel and nothing else, but for the
/// plugins root, if it is given, and what else is to be read.
pub fn restrict(plugins_root: Option<&Path>, more: &[PathBuf], tcp: Tcp) -> Result<Landlock> {
    let both = AccessNet::BindTcp | AccessNet::ConnectTcp;
    let (denied, port, outside) = match tcp {
        Tcp::Nothing => (both, None, None),
        Tcp::TalkToItself => (AccessNet::BindTcp.into(), Some(0), None),
        Tcp::Serve { listen, outside } => (both, listen, outside),
    };
    let by_name = outside.is_some_and(|it| it.by_name);
    let names = NAMES.into_iter().filter(|_| by_name);
    let outside = outside.into_iter();
    let connect = outside.flat_map(|it| [Some(it.port), it.by_name.then_some(DNS)]);
    let connect = connect.flatten().map(|port| (port, AccessNet::ConnectTcp));
    let bind = port.map(|port| (port, AccessNet::BindTcp));
    let ports = bind.into_iter().chain(connect);
    let ports = ports.map(|(port, access)| Ok::<_, RulesetError>(NetPort::new(port, access)));
    Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(denied)?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(READ, AccessFs::from_read(KNOWN)))?
        .add_rules(path_beneath_rules(more, AccessFs::from_read(KNOWN)))?
        .add_rules(path_beneath_rules(names, AccessFs::from_read(KNOWN)))?
        .add_rules(path_beneath_rules(plugins_root.map(outermost), SOCKET))?
        .add_rules(ports)?
        .restrict_self()
        .context("Landlock takes no rules")?;
    Ok(version().map_or(Landlock::Absent, Landlock::Enforced))
}

/// As far above the plugins root as its file system goes, but for `/`: where it was wiped away with what is above it, it has to be
/// made again, and rules are about directories that there are.
fn outermost(plugins_root: &Path) -> PathBuf {
    let root = plugins_root.canonicalize();
    let root = root.unwrap_or_else(|_| plugins_root.to_owned());
    let device = |path: &Path| path.metadata().ok().map(|it| it.dev());
    let own = device(&root);
    let above = root
        .ancestors()
        .take_while(|path| device(path) == own && path.parent().is_some());
    above.last().unwrap_or(&root).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// What a thread sees that is restricted, unless this kernel has no Landlock.
    fn restricted(root: &Path, tcp: Tcp, see: impl FnOnce(i32) + Send) {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Landlock::Enforced(version) = restrict(Some(root), &[], tcp).unwrap() {
                    see(version);
                }
            });
            thread.join().unwrap();
        });
    }

    #[test]
    fn the_kernel_is_read_and_the_socket_made_and_nothing_else() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let root = folder.path().join("plugins");
        fs::create_dir(&root).unwrap();
        restricted(&root, Tcp::Nothing, |_| {
            fs::read_to_string("/proc/self/stat").unwrap();
            fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
            // Also where it was wiped away with what is above it.
            fs::remove_dir(&root).unwrap();
            fs::remove_dir(folder.path()).unwrap();
            let ours = root.join("ours");
            fs::create_dir_all(&ours).unwrap();
            let socket = ours.join("socket");
            drop(UnixListener::bind(&socket).unwrap());
            fs::remove_file(&socket).unwrap();
            fs::remove_dir(&ours).unwrap();
            for closed in ["/etc/passwd", "/dev/null", "/usr"] {
                let error = File::open(closed).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{closed}");
            }
            let error = File::create("/tmp/http-stat-never").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        });
    }

    #[test]
    fn no_port_but_the_one_to_listen_on_and_no_connection() {
        let root = Path::new("/tmp");
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        // Which of them Landlock knows: since Linux 6.7.
        let serve = |outside| Tcp::Serve {
            listen: Some(free.port()),
            outside,
        };
        restricted(root, serve(None), |version| {
            if version >= 4 {
                TcpListener::bind(free).unwrap();
                assert!(TcpListener::bind("127.0.0.1:0").is_err());
                assert!(TcpStream::connect(address).is_err());
            }
        });
        let another = TcpListener::bind("127.0.0.1:0").unwrap();
        let outside = Destination {
            port: address.port(),
            by_name: true,
        };
        restricted(root, serve(Some(outside)), |version| {
            fs::read_to_string("/etc/hosts").unwrap();
            assert!(File::open("/etc/passwd").is_err());
            TcpStream::connect(address).unwrap();
            if version >= 4 {
                assert!(TcpStream::connect(another.local_addr().unwrap()).is_err());
            }
        });
        restricted(root, Tcp::TalkToItself, |_| {
            let own = TcpListener::bind("127.0.0.1:0").unwrap();
            TcpStream::connect(own.local_addr().unwrap()).unwrap();
        });
    }

    #[test]
    fn rules_reach_to_where_the_file_system_ends() {
        assert_eq!(outermost(Path::new("/proc/self")), Path::new("/proc"));
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        assert_eq!(outermost(folder.path()), Path::new("/tmp"));
    }
}
