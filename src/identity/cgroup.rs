// SPDX-License-Identifier: Apache-2.0
//! What runs a process, from the path of its control group: a container's runtime, Kubernetes, systemd.

use std::sync::Arc;

const ID_LENGTH: usize = 64;

/// What stands before a container's id, in whose name else. Their monitors (`libpod-conmon-…`) are beside the containers.
const RUNTIMES: [&str; 5] = ["docker", "cri-containerd", "crio", "libpod", "nerdctl"];

/// Groups in which an id alone is a container's: Docker's, and of containerd those that no pod is around.
const PARENTS: [&str; 2] = ["docker", "k8s.io"];

/// Kinds of units that processes run in. Slices only hold other units.
const UNITS: [&str; 4] = [".service", ".scope", ".socket", ".mount"];

/// What is known of a control group. In `/metrics` the names of labels follow OpenTelemetry: `container.id` and `k8s.pod.uid` of its
/// semantic conventions (<https://opentelemetry.io/docs/specs/semconv/registry/attributes/>); those have nothing for systemd, and
/// `systemd.unit.name` is what the collector's receiver for it says
/// (<https://pkg.go.dev/github.com/open-telemetry/opentelemetry-collector-contrib/receiver/systemdreceiver>).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cgroup {
    /// Of the innermost container, which is the one that the process sees itself in.
    pub container_id: Option<Arc<str>>,
    pub k8s_pod_uid: Option<Arc<str>>,
    /// The innermost unit. In a container only a unit of a systemd in there: what the container itself is to the host's systemd,
    /// or where its runtime was started, says nothing of the process that the container's id does not say.
    pub systemd_unit: Option<Arc<str>>,
}

impl Cgroup {
    /// Of the names on the path, from the group itself outwards.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        // Each with those around it.
        let paths = || (0..names.len()).map(|inner| &names[inner..]);
        let container = paths().find_map(|path| Some((path.len(), container_id(path)?)));
        let around = container.map_or(0, |(around, _)| around);
        let units = names[..names.len() - around].iter();
        Self {
            container_id: container.map(|(_, id)| id.into()),
            k8s_pod_uid: paths().find_map(pod_uid).map(Into::into),
            systemd_unit: units.copied().find_map(unit).map(Into::into),
        }
    }
}

/// The id of the container whose group this is. A bare id is one only where a runtime is known to put them: anybody may give a
/// group a name like that.
fn container_id<'a>(path: &[&'a str]) -> Option<&'a str> {
    let (name, around) = path.split_first()?;
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = match name.rsplit_once(['-', ':']) {
        // Containerd, where it is told a path of systemd's and has not been told so: `SLICE:RUNTIME:ID`.
        Some((prefix, id)) => (prefix.rsplit(':').next(), id),
        None => (None, name),
    };
    let is_known = match runtime {
        Some(runtime) => RUNTIMES.contains(&runtime),
        None => is_place_of_containers(around),
    };
    let is_id = id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_known && is_id).then_some(id)
}

fn is_place_of_containers(path: &[&str]) -> bool {
    let is_ecs_task = path.get(1) == Some(&"ecs");
    let is_known = path.first().is_some_and(|name| PARENTS.contains(name));
    is_known || is_ecs_task || pod_uid(path).is_some()
}

/// The uid of the pod whose group this is: `pod<uid>` below `kubepods`, or systemd's slice, which has the whole path in its name
/// and no dash in the uid.
fn pod_uid(path: &[&str]) -> Option<String> {
    let (name, around) = path.split_first()?;
    let (slice, _) = name.split_once(':').unwrap_or((name, ""));
    let (parents, uid) = match slice.strip_suffix(".slice") {
        Some(slice) => slice.rsplit_once("-pod")?,
        None => ("", slice.strip_prefix("pod")?),
    };
    let is_kubernetes = |name: &str| name.contains("kubepods");
    // The uid of a pod that a node makes by itself has no dashes.
    let is_uid = [32, 36].contains(&uid.len())
        && (uid.bytes()).all(|byte| byte.is_ascii_hexdigit() || b"-_".contains(&byte));
    let is_pod =
        is_uid && (is_kubernetes(parents) || around.iter().any(|name| is_kubernetes(name)));
    is_pod.then(|| uid.replace('_', "-"))
}

/// The unit whose group this is. Systemd puts a `_` before a name that could be a file of the kernel's.
fn unit(name: &str) -> Option<&str> {
    let name = name.strip_prefix('_').unwrap_or(name);
    let is_of = |kind: &&str| {
        name.strip_suffix(*kind)
            .is_some_and(|rest| !rest.is_empty())
    };
    UNITS.iter().any(is_of).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8c2b7a3f4d5e60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const OUTER: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const UID: &str = "1b0cd7b2-6d6a-4d0c-8b0e-6a6f3f1b2f4e";

    /// Of a path as it is written, from the root on.
    fn of(path: &str) -> Cgroup {
        let path = path.replace("<id>", ID).replace("<outer>", OUTER);
        let path = path
            .replace("<uid>", UID)
            .replace("<u_id>", &UID.replace('-', "_"));
        Cgroup::of(path.split('/').rev().filter(|name| !name.is_empty()))
    }

    fn container(path: &str) -> Option<Arc<str>> {
        of(path).container_id
    }

    #[test]
    fn containers_of_every_runtime() {
        for path in [
            // Docker, by systemd's and by cgroupfs' driver; version 1 has the same paths.
            "/system.slice/docker-<id>.scope",
            "/docker/<id>",
            "/docker/<id>/init.scope",
            // For a user without rights.
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<id>.scope",
            // In a container: the inner one.
            "/system.slice/docker-<outer>.scope/docker/<id>",
            "/docker/<outer>/system.slice/docker-<id>.scope",
            "/docker/<outer>/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<u_id>.slice/cri-containerd-<id>.scope",
            // Kubernetes with containerd, by either driver, and as part of containerd's own service.
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_id>.slice/cri-containerd-<id>.scope",
            "/kubepods/besteffort/pod<uid>/<id>",
            "/kubepods/pod<uid>/<id>",
            "/system.slice/containerd.service/kubepods-besteffort-pod<u_id>.slice:cri-containerd:<id>",
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<u_id>.slice/cri-containerd-<id>.scope",
            // The same with Docker.
            "/kubepods.slice/kubepods-pod<u_id>.slice/docker-<id>.scope",
            // Containerd where no pod is around.
            "/k8s.io/<id>",
            "/system.slice/nerdctl-<id>.scope",
            // CRI-O.
            "/kubepods.slice/kubepods-pod<u_id>.slice/crio-<id>.scope",
            "/kubepods.slice/kubepods-pod<u_id>.slice/crio-<id>.scope/container",
            "/kubepods/burstable/pod<uid>/crio-<id>",
            // podman: of root, of a user, in a pod, and by cgroupfs.
            "/machine.slice/libpod-<id>.scope",
            "/machine.slice/libpod-<id>.scope/container",
            "/machine.slice/machine-libpod_pod_<outer>.slice/libpod-<id>.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope",
            "/libpod_parent/libpod-<id>",
            "/libpod_parent/<outer>/libpod-<id>",
            // Amazon's ECS.
            "/ecs/0c4c8b0e6a6f3f1b2f4e1b0cd7b26d6a/<id>",
            "/ecstasks.slice/ecstasks-0c4c8b0e.slice/docker-<id>.scope",
            // A service that systemd runs inside of the container.
            "/system.slice/docker-<id>.scope/system.slice/nginx.service",
        ] {
            assert_eq!(container(path).as_deref(), Some(ID), "{path}");
        }
    }

    #[test]
    fn what_is_no_container() {
        for path in [
            "/",
            "/init.scope",
            "/system.slice/nginx.service",
            "/user.slice/user-1000.slice/session-3.scope",
            "/machine.slice/systemd-nspawn@buster.service/payload",
            "/kubepods.slice/kubepods-pod<u_id>.slice",
            // Monitors of containers.
            "/machine.slice/libpod-conmon-<id>.scope",
            "/kubepods.slice/crio-conmon-<id>.scope",
            // What only looks like an id, or has no runtime's name.
            "/system.slice/docker-<id>0.scope",
            "/system.slice/docker-abc.scope",
            "/docker/thisisnotanidofacontaineralthoughithasexactlysixtyfourletters0xy",
            "/system.slice/docker-8c2b7a3f4d5e60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8fg.scope",
            "/<id>",
            "/jobs/<id>",
            "/system.slice/<id>",
            "/system.slice/job-<id>.scope",
            "/system.slice/<id>.service",
            "/docker/jobs/<id>",
            "/pod<uid>/<id>",
            "/system.slice/podman.service/<id>",
        ] {
            assert_eq!(container(path), None, "{path}");
        }
    }

    #[test]
    fn pods_by_either_driver() {
        for path in [
            "/kubepods/besteffort/pod<uid>/<id>",
            "/kubepods/pod<uid>",
            "/kubelet/kubepods/burstable/pod<uid>/crio-<id>",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_id>.slice/cri-containerd-<id>.scope",
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<u_id>.slice/crio-<id>.scope/container",
            "/system.slice/containerd.service/kubepods-besteffort-pod<u_id>.slice:cri-containerd:<id>",
        ] {
            assert_eq!(of(path).k8s_pod_uid.as_deref(), Some(UID), "{path}");
        }
        let of_a_node = "/kubepods/burstable/pod8c2b7a3f4d5e60718293a4b5c6d7e8f9/<id>";
        let uid = of(of_a_node).k8s_pod_uid;
        assert_eq!(uid.as_deref(), Some("8c2b7a3f4d5e60718293a4b5c6d7e8f9"));
        for path in [
            "/kubepods.slice/kubepods-burstable.slice",
            "/pod<uid>",
            "/system.slice/my-pod<u_id>.slice/a.service",
            "/kubepods/podcast",
            "/machine.slice/machine-libpod_pod_<outer>.slice/libpod-<id>.scope",
        ] {
            assert_eq!(of(path).k8s_pod_uid, None, "{path}");
        }
    }

    #[test]
    fn the_innermost_unit_within_the_container() {
        for (path, unit) in [
            ("/system.slice/nginx.service", Some("nginx.service")),
            ("/system.slice/nginx.service/payload", Some("nginx.service")),
            (
                "/system.slice/system-postgresql.slice/postgresql@15-main.service",
                Some("postgresql@15-main.service"),
            ),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                Some("session-3.scope"),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
                Some("web.service"),
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1f.scope",
                Some("run-r1f.scope"),
            ),
            ("/system.slice/srv-a\\x2db.mount", Some("srv-a\\x2db.mount")),
            ("/system.slice/web.socket", Some("web.socket")),
            (
                "/system.slice/_memory.web.service",
                Some("memory.web.service"),
            ),
            ("/init.scope", Some("init.scope")),
            (
                "/docker/<id>/system.slice/nginx.service",
                Some("nginx.service"),
            ),
            ("/system.slice/docker-<id>.scope", None),
            ("/machine.slice/libpod-<id>.scope/container", None),
            (
                "/system.slice/containerd.service/kubepods-besteffort-pod<u_id>.slice:cri-containerd:<id>",
                None,
            ),
            ("/system.slice/<id>/.service", None),
            ("/system.slice", None),
            ("/", None),
        ] {
            assert_eq!(of(path).systemd_unit.as_deref(), unit, "{path}");
        }
    }

    /// Whatever somebody calls a group, and however many there are.
    #[test]
    fn no_name_is_too_strange() {
        let parts = [
            "",
            "-",
            ":",
            "_",
            "pod",
            "-pod",
            ".slice",
            ".scope",
            ".service",
            "kubepods",
            "docker",
            "docker-",
            "libpod-conmon-",
            "cri-containerd:",
            "é",
            "\u{fffd}",
            ID,
            UID,
            "ecs",
            "0",
        ];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let name = |random: &mut fastrand::Rng| -> String {
                (0..random.usize(0..5))
                    .map(|_| *random.choice(parts.iter()).unwrap())
                    .collect()
            };
            let names: Vec<_> = (0..random.usize(0..6)).map(|_| name(&mut random)).collect();
            let cgroup = Cgroup::of(names.iter().map(String::as_str));
            assert!(
                cgroup.container_id.is_none_or(|id| id.len() == ID_LENGTH),
                "{names:?}"
            );
            assert!(
                cgroup.k8s_pod_uid.is_none_or(|uid| !uid.contains('_')),
                "{names:?}"
            );
        }
    }
}
