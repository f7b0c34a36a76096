# SPDX-License-Identifier: Apache-2.0
"""The chart, linted and rendered by Helm's own library, and what `kubectl kustomize` makes of deploy/kubernetes:
every object against the schemas of Kubernetes, and both ways to the same DaemonSet."""

import sys

import helm_python
import kubernetes_validate
import yaml
from helm_python import chart as helm

KUSTOMIZED, CHART, *VERSIONS = sys.argv[1:]
VARIANTS = {
    "defaults": {},
    "everything": {
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "args": ["--per-process"],
        "env": [{"name": "RUST_BACKTRACE", "value": "1"}],
        "tls": {"enabled": True, "beforeLinux66": True},
        "podAnnotations": {"example.org/owner": "platform"},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "priorityClass": {"name": "agents"},
        "networkPolicy": {"egress": [{"ports": [{"protocol": "TCP", "port": 4317}]}]},
    },
    "little": {
        "networkPolicy": {"enabled": False},
        "priorityClass": {"create": False},
        "nodeSelector": {},
        "tolerations": [],
    },
}
# What only people who have its operator have the schema of.
CUSTOM = {"PodMonitor"}


def valid(objects):
    for it in objects:
        if it["kind"] not in CUSTOM:
            for version in VERSIONS:
                kubernetes_validate.validate(it, version, strict=True)
    return {it["kind"]: it for it in objects}


def rendered(values):
    report = helm.lint(CHART, values, strict=True, namespace="scope-http-statistics")
    # Severity 1 is information: a chart without an icon.
    bad = [it for it in report["messages"] if it["severity"] > 1]
    assert not bad and not report["errors"], report
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="scope-http-statistics", namespace="scope-http-statistics")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return valid([it for text in texts for it in yaml.safe_load_all(text) if it])


def without_labels(daemonset):
    """Those of the chart are more."""
    del daemonset["metadata"]["labels"]
    del daemonset["spec"]["selector"]
    del daemonset["spec"]["template"]["metadata"]
    return daemonset


with open(KUSTOMIZED, encoding="utf-8") as file:
    plain = valid(list(yaml.safe_load_all(file)))
assert set(plain) == {"Namespace", "PriorityClass", "DaemonSet", "NetworkPolicy"}, set(plain)
kinds = {name: rendered(values) for name, values in VARIANTS.items()}
assert set(kinds["defaults"]) == set(plain) - {"Namespace"}
assert set(kinds["everything"]) == set(kinds["defaults"]) | CUSTOM
assert set(kinds["little"]) == {"DaemonSet"}

container = kinds["everything"]["DaemonSet"]["spec"]["template"]["spec"]["containers"][0]
assert container["image"].endswith("@sha256:" + "0" * 64), container["image"]
assert container["securityContext"]["capabilities"]["add"] == ["BPF", "PERFMON", "SYS_PTRACE", "SYS_ADMIN"]

assert "egress" in kinds["everything"]["NetworkPolicy"]["spec"]

ours = without_labels(kinds["defaults"]["DaemonSet"])
theirs = without_labels(plain["DaemonSet"])
# The only thing that the API server would fill in.
pull = ours["spec"]["template"]["spec"]["containers"][0].pop("imagePullPolicy")
assert pull == "IfNotPresent"
assert ours == theirs, f"{ours}\n{theirs}"
for kind in ("PriorityClass", "NetworkPolicy"):
    for it in (kinds["defaults"], plain):
        it[kind].get("spec", {}).pop("podSelector", None)
        it[kind]["metadata"].pop("labels", None)
    assert kinds["defaults"][kind] == plain[kind], f"{kinds['defaults'][kind]}\n{plain[kind]}"

for wrong in ({"port": 0}, {"image": {"digest": "latest"}}, {"prot": 9476}):
    with helm.Chart.load(CHART) as chart:
        try:
            chart.validate_schema(wrong)
        except helm_python.errors.HelmValuesError:
            continue
        raise AssertionError(f"the schema takes {wrong}")
