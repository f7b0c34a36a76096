// SPDX-License-Identifier: Apache-2.0
//! Which container a process belongs to, from the path of its control group.
//!
//! Every runtime puts the container's id, 64 hexadecimal digits, into a part of the path, between a prefix and a suffix
//! that tell the runtime and the cgroup driver: `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`,
//! `libpod-<id>.scope`, `…slice:cri-containerd:<id>`, or the id alone.

const ID_LENGTH: usize = 64;

/// The container id in the contents of `/proc/PID/cgroup`, if there is one.
pub fn container_id(cgroups: &str) -> Option<&str> {
    // Version 1 has a line for each hierarchy; the process may be in the root of some.
    cgroups.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        // The innermost container is the one that the process sees itself in.
        path.rsplit('/').find_map(id_in)
    })
}

fn id_in(part: &str) -> Option<&str> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let (prefix, id) = part.rsplit_once(['-', ':']).unwrap_or(("", part));
    let is_id = id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // The runtime's monitor is beside the container, not in it.
    (is_id && !prefix.ends_with("conmon")).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8c2b7a3f4d5e60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const OUTER: &str = "1111111111111111111111111111111111111111111111111111111111111111";

    fn parse(cgroups: &str) -> Option<String> {
        let text = cgroups.replace("<id>", ID).replace("<outer>", OUTER);
        container_id(&text).map(str::to_owned)
    }

    #[test]
    fn containers_of_every_runtime() {
        for cgroups in [
            // Docker: v2 with either driver, v1 with either driver.
            "0::/system.slice/docker-<id>.scope\n",
            "0::/docker/<id>\n",
            "12:pids:/docker/<id>\n11:memory:/docker/<id>\n1:name=systemd:/docker/<id>\n0::/system.slice/containerd.service\n",
            "9:cpu,cpuacct:/system.slice/docker-<id>.scope\n",
            // Docker in a container: the inner one, and paths that the cgroup namespace cuts off.
            "0::/system.slice/docker-<outer>.scope/docker/<id>\n",
            "0::/../docker-<id>.scope\n",
            "0::/docker/<id>/init.scope\n",
            // Kubernetes with containerd: systemd driver, cgroupfs driver, and the form of containerd's own service.
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b0cd7b2_6d6a_4d0c_8b0e_6a6f3f1b2f4e.slice/cri-containerd-<id>.scope\n",
            "0::/kubepods/besteffort/pod1b0cd7b2-6d6a-4d0c-8b0e-6a6f3f1b2f4e/<id>\n",
            "4:memory:/system.slice/containerd.service/kubepods-besteffort-pod1b0cd7b2_6d6a_4d0c_8b0e_6a6f3f1b2f4e.slice:cri-containerd:<id>\n",
            "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1b0cd7b2.slice/cri-containerd-<id>.scope\n",
            // CRI-O.
            "0::/kubepods.slice/kubepods-pod1b0cd7b2_6d6a_4d0c_8b0e_6a6f3f1b2f4e.slice/crio-<id>.scope\n",
            "0::/kubepods.slice/kubepods-pod1b0cd7b2_6d6a_4d0c_8b0e_6a6f3f1b2f4e.slice/crio-<id>.scope/container\n",
            "8:devices:/kubepods/burstable/pod1b0cd7b2-6d6a-4d0c-8b0e-6a6f3f1b2f4e/crio-<id>\n",
            // podman: of root, of a user, and with the cgroupfs manager.
            "0::/machine.slice/libpod-<id>.scope/container\n",
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope\n",
            "3:cpuset:/libpod_parent/libpod-<id>\n",
            // A service that systemd runs inside of the container.
            "0::/system.slice/docker-<id>.scope/system.slice/nginx.service\n",
        ] {
            assert_eq!(parse(cgroups).as_deref(), Some(ID), "{cgroups}");
        }
    }

    #[test]
    fn processes_outside_of_containers() {
        for cgroups in [
            "",
            "0::/\n",
            "0::/init.scope\n",
            "0::/system.slice/nginx.service\n",
            "0::/user.slice/user-1000.slice/session-3.scope\n",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal-4711.scope\n",
            "0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
            "0::/machine.slice/systemd-nspawn@buster.service/payload\n",
            "0::/kubepods.slice/kubepods-pod1b0cd7b2_6d6a_4d0c_8b0e_6a6f3f1b2f4e.slice\n",
            "12:pids:/\n1:name=systemd:/user.slice\n",
            "0::/machine.slice/libpod-conmon-<id>.scope\n",
            "0::/kubepods.slice/crio-conmon-<id>.scope\n",
            "0::/system.slice/docker-<id>0.scope\n",
            "0::/system.slice/docker-abc.scope\n",
            // As long as an id, and not hexadecimal.
            "0::/docker/thisisnotanidofacontaineralthoughithasexactlysixtyfourletters0xy\n",
            "0::/system.slice/docker-8c2b7a3f4d5e60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8fg.scope\n",
            "no colons\n",
        ] {
            assert_eq!(parse(cgroups), None, "{cgroups}");
        }
    }
}
