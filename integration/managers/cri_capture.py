#!/usr/bin/python3 -B
"""Makes two pods over containerd's CRI, each configuration under its own name: part of capture.sh."""

import sys
import time

from cri_api import Cri

cri = Cri("/run/containerd/containerd.sock")
named = sys.argv[1]


def pod(name, hostname, **linux):
    config = {
        "metadata": {"name": name, "uid": name, "namespace": "default"},
        "hostname": hostname,
        "log_directory": "/run/captured/logs",
        "linux": {"cgroup_parent": f"/kubepods/{name}", **linux},
    }
    return config, cri.RunPodSandbox(config=config, runtime_handler="under-test")["pod_sandbox_id"]


def container(config, sandbox, **more):
    wanted = {
        "metadata": {"name": "box"},
        "image": {"image": "localhost/box:latest"},
        "command": ["true"],
        "log_path": "box.log",
        **more,
    }
    name = cri.CreateContainer(pod_sandbox_id=sandbox, config=wanted, sandbox_config=config)["container_id"]
    cri.StartContainer(container_id=name)
    while cri.ContainerStatus(container_id=name)["status"]["state"] == 1:
        time.sleep(0.05)


def write(name):
    with open(named, "w") as file:
        file.write(name)


MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

write("cri-sandbox")
config, sandbox = pod("web", "web", security_context={"namespace_options": {"pid": 1}}, sysctls={"net.ipv4.ip_forward": "0"})
write("cri-container")
container(
    config,
    sandbox,
    envs=[{"key": "KEY", "value": "value"}],
    mounts=[{"container_path": "/mnt", "host_path": "/run/captured/volume", "readonly": True}],
    linux={
        "resources": {"cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512, "memory_limit_in_bytes": 64 << 20, "oom_score_adj": 1000},
        "security_context": {
            "namespace_options": {"pid": 1},
            "run_as_user": {"value": 1000},
            "no_new_privs": True,
            "readonly_rootfs": True,
            "capabilities": {"drop_capabilities": ["ALL"]},
            "seccomp": {"profile_type": 0},
            "masked_paths": MASKED,
            "readonly_paths": READ_ONLY,
        },
    },
)
cri.StopPodSandbox(pod_sandbox_id=sandbox)

write("cri-sandbox-host")
host = {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}, "privileged": True}
config, sandbox = pod("node", "", security_context=host)
write("cri-privileged")
container(config, sandbox, linux={"security_context": {**host, "privileged": True}})
cri.StopPodSandbox(pod_sandbox_id=sandbox)
