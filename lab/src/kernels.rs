// SPDX-License-Identifier: Apache-2.0
//! Which kernels the tests run on, what is expected of each, and which of Debian's packages has it.

use std::fmt;

use crate::arch::Arch;

/// The backends of the agent.
pub const BACKENDS: [&str; 3] = ["fexit", "sock", "syscall"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// One that is maintained for years.
    Stable(u32, u32),
    /// The newest to be had.
    Newest,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stable(major, minor) => write!(f, "{major}.{minor}"),
            Self::Newest => f.write_str("newest"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub series: Series,
    pub arch: Arch,
    /// The backends that have to be possible: more or fewer is a failure, until this says so.
    pub backends: &'static [&'static str],
}

impl Kernel {
    /// Whether all hostile conditions are tried on it.
    pub fn is_at_an_end(&self) -> bool {
        let of_arch = |kernel: &&Self| kernel.arch == Arch::X86_64;
        let mut all = KERNELS.iter().filter(of_arch);
        [all.next(), all.next_back()].contains(&Some(self))
    }
}

pub const KERNELS: [Kernel; 7] = [
    x86_64(Series::Stable(5, 10), &["fexit", "syscall"]),
    x86_64(Series::Stable(6, 1), &["fexit", "syscall"]),
    x86_64(Series::Stable(6, 12), &BACKENDS),
    x86_64(Series::Stable(6, 18), &BACKENDS),
    x86_64(Series::Newest, &["fexit", "sock"]),
    arm64(Series::Stable(6, 1), &["syscall"]),
    arm64(Series::Stable(6, 12), &BACKENDS),
];

const fn x86_64(series: Series, backends: &'static [&'static str]) -> Kernel {
    Kernel {
        series,
        arch: Arch::X86_64,
        backends,
    }
}

const fn arm64(series: Series, backends: &'static [&'static str]) -> Kernel {
    Kernel {
        series,
        arch: Arch::Aarch64,
        backends,
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arch {
            Arch::X86_64 => write!(f, "{}", self.series),
            other => write!(f, "{}-{other}", self.series),
        }
    }
}

impl Kernel {
    /// The newest package of this series among those with the given names.
    pub fn package<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        names
            .into_iter()
            .filter_map(|name| Some((version(name, self.arch)?, name)))
            .filter(|(version, _)| match self.series {
                Series::Stable(major, minor) => version.starts_with(&[major, minor]),
                Series::Newest => true,
            })
            // Of the same version, "linux-binary" is the image where "linux-image" only depends on it.
            .max_by_key(|(version, name)| (version.clone(), name.starts_with("linux-binary-")))
            .map(|(_, name)| name)
    }
}

/// The numbers in the name of a kernel for virtual machines, which needs no modules to boot in one.
fn version(package: &str, arch: Arch) -> Option<Vec<u32>> {
    let name = package
        .strip_prefix("linux-image-")
        .or_else(|| package.strip_prefix("linux-binary-"))?;
    let release = name.strip_suffix(&format!("-cloud-{}", arch.debian()))?;
    let upstream = release
        .split_once('+')
        .map_or(release, |(before, _)| before);
    let numbers: Result<Vec<u32>, _> = upstream.split(['.', '-']).map(str::parse).collect();
    // Fewer numbers are the name of a package that only depends on others.
    numbers.ok().filter(|numbers| numbers.len() > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 12] = [
        "linux-image-5.10.0-9-cloud-amd64",
        "linux-image-5.10.0-46-cloud-amd64",
        "linux-image-5.10.0-46-cloud-amd64-unsigned",
        "linux-image-5.10.0-47-cloud-arm64",
        "linux-image-6.1-cloud-amd64",
        "linux-image-6.1.0-0.deb11.52-cloud-amd64",
        "linux-image-6.1.0-56-cloud-amd64",
        "linux-image-6.12.9+deb12-cloud-amd64",
        "linux-image-6.12.117+deb12-cloud-amd64",
        "linux-image-7.3.4+deb13-cloud-amd64",
        "linux-binary-7.3.4+deb13-cloud-amd64",
        "linux-image-8.0.1+deb13-amd64",
    ];

    fn package(series: Series) -> Option<&'static str> {
        x86_64(series, &[]).package(NAMES)
    }

    #[test]
    fn the_newest_of_a_series_is_taken() {
        let newest =
            [(5, 10), (6, 1), (6, 12), (6, 18)].map(|(a, b)| package(Series::Stable(a, b)));
        assert_eq!(
            newest,
            [
                Some("linux-image-5.10.0-46-cloud-amd64"),
                Some("linux-image-6.1.0-56-cloud-amd64"),
                Some("linux-image-6.12.117+deb12-cloud-amd64"),
                None,
            ]
        );
    }

    #[test]
    fn the_newest_of_all_is_the_package_with_the_image() {
        let newest = "linux-binary-7.3.4+deb13-cloud-amd64";
        assert_eq!(package(Series::Newest), Some(newest));
    }

    #[test]
    fn no_kernel_is_expected_to_do_what_no_agent_can() {
        for kernel in KERNELS {
            assert!(
                kernel.backends.iter().all(|b| BACKENDS.contains(b)),
                "{kernel}"
            );
        }
    }
}
