// SPDX-License-Identifier: Apache-2.0
//! A container engine that needs no daemon and leaves nothing behind: images and containers are in folders of its own, and
//! each command has mounts of its own, which go with it however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::agent::{folder, output_of};
use rustix::process::getuid;
use tempfile::TempDir;

use crate::finish::{enclosed, finish};

const BUILDER: &str = "localhost/builder";

const IMPORT_LIMIT: Duration = Duration::from_secs(300);
/// For machines that are busy with other things.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

pub struct Engine {
    /// Gigabytes: in `target/`, as folders for temporary files may be small.
    storage: PathBuf,
    /// In a path that is short enough for the engine's sockets.
    run: TempDir,
}

impl Engine {
    pub fn new() -> Self {
        assert!(getuid().is_root(), "only root can build and run the image");
        let storage = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
        // Of a run that was killed.
        let _ = fs::remove_dir_all(&storage);
        fs::create_dir(&storage).unwrap();
        let run = folder();
        Self { storage, run }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.storage.join(name)
    }

    pub fn podman(&self, mut command: Command) -> Command {
        command
            .arg("--root")
            .arg(self.file("storage"))
            .arg("--runroot")
            .arg(self.run.path().join("run"))
            .arg("--tmpdir")
            .arg(self.run.path().join("tmp"))
            // Works on any file system and for hosts that are containers themselves.
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"])
            // Unlike crun, it takes hosts with both versions of control groups.
            .args(["--runtime=runc", "--events-backend=none"]);
        command
    }

    pub fn import(&self, base: &Path) {
        let mut command = self.podman(enclosed("podman", &self.storage));
        command.arg("import").arg(base).arg(BUILDER);
        finish(command, &self.file("import.log"), IMPORT_LIMIT);
    }

    /// `docker build -t image .` with both base images at hand, and what a publisher says of it.
    pub fn build(&self, image: &str, arguments: &[(&str, &str)]) {
        let cargo_home = self.cargo_home();
        let mut command = self.podman(enclosed("podman", &self.storage));
        command
            .args(["build", "--isolation=chroot", "--network=host"])
            .args(["--pull=never", "--layers=false"])
            .arg(format!("--build-arg=BUILDER_IMAGE={BUILDER}"))
            .arg("--build-arg=RUNTIME_IMAGE=scratch")
            .arg(format!("--volume={}:/root/.cargo", cargo_home.display()))
            .args(
                arguments
                    .iter()
                    .map(|(name, value)| format!("--build-arg={name}={value}")),
            )
            .args(["--tag", image, env!("CARGO_MANIFEST_DIR")]);
        finish(command, &self.file("build.log"), BUILD_LIMIT);
    }

    /// Settings for cargo in the build that are this host's affair and not the Dockerfile's.
    fn cargo_home(&self) -> PathBuf {
        let home = self.file("cargo");
        fs::create_dir(&home).unwrap();
        // Whom this host trusts, where a proxy of the house stands before the registry.
        let certificates = ["CARGO_HTTP_CAINFO", "SSL_CERT_FILE"]
            .iter()
            .find_map(std::env::var_os)
            .unwrap_or_else(|| "/etc/ssl/certs/ca-certificates.crt".into());
        fs::copy(&certificates, home.join("certificates.pem"))
            .unwrap_or_else(|error| panic!("{}: {error}", certificates.display()));
        // Whether the optimiser works is not the question here, and it takes minutes.
        let config = "[http]\ncainfo = \"/root/.cargo/certificates.pem\"\n\
            [profile.release]\nopt-level = 0\nlto = false\ncodegen-units = 16\n\
            [profile.release.build-override]\ncodegen-units = 16\n";
        fs::write(home.join("config.toml"), config).unwrap();
        home
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // There is a container only where the agent did not end when it was asked to.
        let mut command = self.podman(Command::new("podman"));
        command.args(["rm", "--all", "--force", "--time=0"]);
        let output = output_of(command);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
        if let Err(error) = fs::remove_dir_all(&self.storage) {
            eprintln!("{}: {error}", self.storage.display());
        }
        remove_control_groups();
    }
}

/// The engine keeps the parents of those that it made. They can only be removed where nobody is in them.
fn remove_control_groups() {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    for hierarchy in hierarchies.map(|it| it.path()).chain([root.into()]) {
        let parent = hierarchy.join("libpod_parent");
        for group in [parent.join("conmon"), parent] {
            let _ = fs::remove_dir(group);
        }
    }
}
