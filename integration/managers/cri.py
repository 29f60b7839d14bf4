#!/usr/bin/python3 -B
"""Pods over containerd's CRI, as kubelet drives it: `cri.py NAME-OF-THE-RUNTIME`, run by containerd.sh."""

import json
import os
import re
import subprocess
import sys
import time

import grpc
from cri_api import Cri

RUNTIME = sys.argv[1]
LOGS = "/tmp/logs"
PODS = int(os.environ.get("PODS", "50"))
POD, CONTAINER, NODE = 0, 1, 2  # modes of a namespace
CREATED, RUNNING, EXITED = 0, 1, 2
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
SYSTEMD = os.path.isdir("/run/systemd/system")  # containerd's SystemdCgroup is set where it is
DEFAULT_PROFILE = {"profile_type": 0}
cri = Cri("/run/containerd/containerd.sock")
VERSION = [int(number) for number in re.findall(r"\d+", cri.Version()["runtime_version"])[:2]]


def report(word, what, why=""):
    print(f"{word:5} {what}{': ' + why if why else ''}", flush=True)


def expect(what, expected, found):
    if expected == found:
        report("ok", what)
    else:
        report("FAIL", what, f"{found!r}, not {expected!r}")


def expect_in(what, words, found):
    if words in found:
        report("ok", what)
    else:
        report("FAIL", what, f"{words!r} is not in {found!r}")


def soon(ask, seconds=15):
    """What `ask` gives, once it is true."""
    end = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


class Pod:
    """A sandbox and its containers."""

    count = 0

    def __init__(self, name, hostname=None, namespaces=None, **linux):
        security = {"namespace_options": namespaces or {"pid": CONTAINER}, **linux.pop("security", {})}
        self.config = {
            "metadata": {"name": name, "uid": name, "namespace": "test"},
            "hostname": name if hostname is None else hostname,
            "log_directory": f"{LOGS}/{name}",
            "labels": {"app": name},
            "linux": {"cgroup_parent": f"kubepods-{name}.slice" if SYSTEMD else f"/kubepods/{name}", "security_context": security, **linux},
        }
        os.makedirs(f"{LOGS}/{name}", exist_ok=True)
        self.namespaces = security["namespace_options"]
        self.name = name
        answer = cri.RunPodSandbox(config=self.config, runtime_handler="under-test")
        self.id = answer["pod_sandbox_id"]

    def create(self, *command, security=None, resources=None, **more):
        Pod.count += 1
        name = f"c{Pod.count}"
        config = {
            "metadata": {"name": name},
            "image": {"image": "localhost/box:latest"},
            "command": list(command),
            "log_path": f"{name}.log",
            "linux": {
                "resources": resources or {},
                "security_context": {"namespace_options": self.namespaces, **(security or {})},
            },
            **more,
        }
        answer = cri.CreateContainer(pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        return Container(answer["container_id"], f"{LOGS}/{self.name}/{name}.log")

    def run(self, *command, **more):
        container = self.create(*command, **more)
        container.start()
        return container

    def sh(self, script, **more):
        """Runs a script to its end; its exit code and output."""
        container = self.run("sh", "-c", script, **more)
        code = container.wait()
        output = container.log()
        container.remove()
        return code, output

    def remove(self):
        cri.StopPodSandbox(pod_sandbox_id=self.id)
        cri.RemovePodSandbox(pod_sandbox_id=self.id)


class Container:
    def __init__(self, name, path):
        self.id, self.path = name, path

    def start(self):
        cri.StartContainer(container_id=self.id)

    def status(self):
        status = cri.ContainerStatus(container_id=self.id)["status"]
        return {"state": CREATED, "exit_code": 0, "reason": "", **status}

    def state(self):
        return self.status()["state"]

    def wait(self):
        soon(lambda: self.state() == EXITED)
        return self.status()["exit_code"]

    def log(self):
        """The text of the log file, each line of it `TIME STREAM P|F TEXT`."""

        def read():
            with open(self.path) as file:
                return file.read()

        soon(lambda: os.path.exists(self.path), 2)
        time.sleep(0.05)
        return "\n".join(line.split(" ", 3)[3] for line in read().splitlines())

    def exec(self, *command, timeout=10):
        answer = cri.ExecSync(container_id=self.id, cmd=list(command), timeout=timeout)
        return answer.get("exit_code", 0), answer.get("stdout", b"").decode()

    def remove(self):
        cri.RemoveContainer(container_id=self.id)


def fault(call, *args, **named):
    """The words of the error that a call must end in."""
    try:
        call(*args, **named)
    except grpc.RpcError as error:
        return error.details()
    return "no error"


def runtime_is_ready():
    conditions = {one["type"]: one.get("status", False) for one in cri.Status()["status"]["conditions"]}
    expect("the runtime and the network are ready", (True, True), (conditions["RuntimeReady"], conditions["NetworkReady"]))
    expect("the name of the manager", "containerd", cri.Version()["runtime_name"])


def pods_live_and_die():
    pod = Pod("life")
    status = cri.PodSandboxStatus(pod_sandbox_id=pod.id)["status"]
    expect("a pod is ready", 0, status.get("state", 0))
    expect("it has an address", True, status["network"]["ip"].startswith("10.112."))
    expect("its handler", "under-test", status["runtime_handler"])
    info = json.loads(cri.PodSandboxStatus(pod_sandbox_id=pod.id, verbose=True)["info"]["info"])
    expect_in("its runtime", RUNTIME, json.dumps(info))
    container = pod.create("sh", "-c", "trap 'exit 5' TERM; echo started; while :; do sleep 0.05; done")
    expect("a container is created", CREATED, container.state())
    container.start()
    expect("a container runs", RUNNING, container.state())
    expect("its log", "started", soon(container.log))
    expect("exec", (0, "inside\n"), container.exec("echo", "inside"))
    expect("the exit code of exec", (7, ""), container.exec("sh", "-c", "exit 7"))
    expect_in("exec of nothing", "executable file not found in $PATH", fault(container.exec, "nosuch"))
    expect_in("exec that takes too long", "exceeded", fault(container.exec, "sleep", "5", timeout=1))
    cri.StopContainer(container_id=container.id, timeout=5)
    expect("the exit code after TERM", 5, container.status()["exit_code"])
    expect("the reason", "Error", container.status()["reason"])
    container.remove()
    deaf = pod.run("sh", "-c", "trap : TERM; while :; do sleep 0.1; done")
    time.sleep(0.2)
    cri.StopContainer(container_id=deaf.id, timeout=1)
    expect("killed when it is deaf", 137, deaf.status()["exit_code"])
    deaf.remove()
    expect("a program that ends well", "Completed", (lambda one: (one.wait(), one.status()["reason"])[1])(pod.run("true")))
    expect_in("a program that is not there", "executable file not found in $PATH", fault(pod.run, "nosuch"))
    expect_in("a program that may not be run", "permission denied", fault(pod.run, "/etc/passwd"))
    sleeper = pod.run("sleep", "1000")
    pod.remove()
    expect("a pod takes its containers along", False, sleeper.id in [one["id"] for one in cri.ListContainers()["containers"]])


def containers_of_a_pod_share():
    pod = Pod("shared", namespaces={"pid": POD}, sysctls={"net.ipv4.ip_forward": "1"})
    first = pod.run("sh", "-c", "touch /dev/shm/shared; httpd -p 8000 -h /etc; exec sleep 1000")
    expect("the name of the pod", (0, "shared"), pod.sh("hostname"))
    expect("the network of the pod", True, soon(lambda: pod.sh("wget -q -O - http://127.0.0.1:8000/group")[0] == 0))
    expect("the pids of the pod", True, int(pod.sh("ps | grep -c 'sleep 100'")[1]) >= 2)
    expect("the /dev/shm of the pod", (0, "/dev/shm/shared"), pod.sh("ls /dev/shm/shared"))
    expect("a sysctl of the pod", (0, "1"), pod.sh("cat /proc/sys/net/ipv4/ip_forward"))
    target = {"namespace_options": {"pid": 3, "target_id": first.id}}
    expect("the pids of one container", True, pod.sh("grep -q sleep /proc/*/cmdline && echo", security=target)[0] == 0)
    pod.remove()
    pod = Pod("node", hostname="", namespaces={"network": NODE, "pid": NODE, "ipc": NODE}, security={"privileged": True})
    code, links = pod.sh("ls /sys/class/net")
    expect_in("the network of the node", "eth0", links)
    expect("the pids of the node", True, int(pod.sh("echo $$")[1]) > 1)
    code, status = pod.sh("mount -t tmpfs x /mnt && grep CapEff /proc/self/status", security={"privileged": True})
    expect("privileged", 0, code)
    pod.remove()


def containers_are_confined():
    pod = Pod("confined", security={"seccomp": DEFAULT_PROFILE})
    status = "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status"
    tight = {
        "capabilities": {"drop_capabilities": ["ALL"]},
        "no_new_privs": True,
        "seccomp": DEFAULT_PROFILE,
        "run_as_user": {"value": 1000},
        "run_as_group": {"value": 1000},
        "supplemental_groups": [7],
        "readonly_rootfs": True,
    }
    code, text = pod.sh(f"{status}; id -u; id -G; touch /x 2> /dev/null || echo sealed", security=tight)
    expect("capabilities, no new privileges, seccomp", ["0000000000000000", "1", "2"], [line.split()[1] for line in text.splitlines()[:3]])
    expect_in("the user and the groups", "1000\n1000 7", text)
    expect_in("a read-only root", "sealed", text)
    one = {"capabilities": {"drop_capabilities": ["ALL"], "add_capabilities": ["NET_BIND_SERVICE"]}}
    expect_in("one capability", "0000000000000400", pod.sh(status, security=one)[1])
    masked = {"masked_paths": ["/proc/keys"], "readonly_paths": ["/proc/sys"]}
    expect("masked and read-only paths", (0, "0\nsealed"), pod.sh("cat /proc/keys | wc -c; (echo 1 > /proc/sys/kernel/domainname) 2> /dev/null || echo sealed", security=masked))
    environment = [{"key": "KEY", "value": "a value"}]
    expect("the environment", (0, "a value"), pod.sh("echo $KEY", envs=environment))
    expect("the working directory", (0, "/tmp"), pod.sh("pwd", working_dir="/tmp"))
    pod.remove()


def mounts_and_devices():
    pod = Pod("mounts")
    os.makedirs("/tmp/volume/below", exist_ok=True)
    with open("/tmp/volume/file", "w") as file:
        file.write("shared\n")
    volume = {"container_path": "/mnt", "host_path": "/tmp/volume"}
    expect("a volume", (0, "shared"), pod.sh("cat /mnt/file", mounts=[volume]))
    expect("a read-only volume", (0, "sealed"), pod.sh("touch /mnt/x 2> /dev/null || echo sealed", mounts=[{**volume, "readonly": True}]))
    for propagation, word in (1, "master:"), (2, "shared:"):
        code, line = pod.sh("grep ' /mnt ' /proc/self/mountinfo", mounts=[{**volume, "propagation": propagation}])
        expect_in(f"propagation {word}", word, line)
    device = [{"container_path": "/dev/mine", "host_path": "/dev/null", "permissions": "rw"}]
    expect("a device", 0, pod.sh("echo x > /dev/mine", devices=device)[0])
    if VERSION < [2, 0]:
        report("skip", "recursive read-only mounts", "they came with containerd 2.0")
        return pod.remove()
    os.makedirs("/tmp/volume/below/more", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "more", "/tmp/volume/below/more"], check=True)
    look = "touch /mnt/x 2> /dev/null || echo sealed; touch /mnt/below/more/x 2> /dev/null || echo sealed too"
    sealed = {**volume, "readonly": True}
    expect("a read-only volume, its mounts below not", (0, "sealed"), pod.sh(look, mounts=[sealed]))
    deep = {**sealed, "recursive_read_only": True}
    expect("recursive read-only mounts", (0, "sealed\nsealed too"), pod.sh(look, mounts=[deep]))
    subprocess.run(["umount", "/tmp/volume/below/more"], check=True)
    pod.remove()


def pods_have_user_namespaces():
    if VERSION < [1, 7]:
        return report("skip", "pods with user namespaces", "they came with containerd 1.7")
    if VERSION >= [2, 0]:
        found = {one.get("name", ""): one.get("features", {}) for one in cri.Status()["runtime_handlers"]}
        expect("what `features` says is understood", {"recursive_read_only_mounts": True, "user_namespaces": True}, found["under-test"])
    ids = [{"host_id": 300000, "container_id": 0, "length": 65536}]
    pod = Pod("mapped", namespaces={"pid": CONTAINER, "userns_options": {"mode": POD, "uids": ids, "gids": ids}})
    container = pod.run("sh", "-c", "exec sleep 1000")
    expect("a pod with a user namespace", (0, ["0", "300000", "65536"]), (lambda one: (one[0], one[1].split()))(container.exec("cat", "/proc/self/uid_map")))
    pid = json.loads(cri.ContainerStatus(container_id=container.id, verbose=True)["info"]["info"])["pid"]
    expect("root of the pod is nobody outside", (300000, 300000), (lambda one: (one.st_uid, one.st_gid))(os.stat(f"/proc/{pid}")))
    expect("the files of the image are root's", (0, "0 0\n"), container.exec("stat", "-c", "%u %g", "/etc/group"))
    expect("another user", (0, "1000"), pod.sh("id -u", security={"run_as_user": {"value": 1000}}))
    expect("all containers of the pod are in it", os.readlink(f"/proc/{pid}/ns/user"), pod.sh("readlink /proc/self/ns/user")[1])
    expect("no power over the node", 1, pod.sh("echo 1 > /proc/sys/kernel/panic", security={"privileged": False})[0])
    if VERSION >= [2, 0]:
        os.makedirs("/tmp/owned", exist_ok=True)
        volume = {"container_path": "/mnt", "host_path": "/tmp/owned", "uid_mappings": ids, "gid_mappings": ids}
        expect("a volume whose ids are mapped", (0, "0 0"), pod.sh("touch /mnt/new && stat -c '%u %g' /mnt/new", mounts=[volume]))
        expect("its owner outside", 0, os.stat("/tmp/owned/new").st_uid)
    else:
        report("skip", "volumes whose ids are mapped", "they came with containerd 2.0")
    expect("an address of its own", True, soon(lambda: "10.112." in pod.sh("ip -4 address show eth0")[1]))
    pod.remove()
    expect("nothing of it is left", [], cri.ListPodSandbox()["items"])


def limits_are_kept(has_update):
    pod = Pod("limits")
    resources = {"cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512, "memory_limit_in_bytes": 64 << 20, "oom_score_adj": 900, **({} if V2 else {"cpuset_cpus": "0"})}
    files = ["memory.max", "cpu.max"] if V2 else ["memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us"]
    files = [f"/sys/fs/cgroup/{name}" for name in files]
    quota = "{} 100000" if V2 else "{}"
    if V2:
        expect("limits", (0, f"67108864\n{quota.format(50000)}\n900"), pod.sh(f"cat {' '.join(files)} /proc/self/oom_score_adj", resources=resources))
    else:
        look = f"cd /sys/fs/cgroup; cat {' '.join(files)} cpu/cpu.shares cpuset/cpuset.cpus /proc/self/oom_score_adj"
        expect("limits", (0, "67108864\n50000\n512\n0\n900"), pod.sh(look, resources=resources))
    # containerd begins to watch when the container has started. And systemd removes the cgroup, and its count of kills,
    # with the last process: whoever wants to read it is late now and then.
    for _ in range(15 if SYSTEMD else 1):
        hungry = pod.run("sh", "-c", "sleep 0.2; exec dd if=/dev/zero of=/dev/null bs=64M count=1", resources={"memory_limit_in_bytes": 16 << 20})
        expect("killed for want of memory", 137, hungry.wait())
        if soon(lambda: hungry.status()["reason"] == "OOMKilled", 3):
            break
    if "unseen" in sys.argv:  # containerd measures nothing then, and hears of nothing
        report("skip", "stats, and that it is told", "containerd gives none where nobody mounts a hierarchy of cgroup v1")
        return pod.remove()
    expect("it is told", True, soon(lambda: hungry.status()["reason"] == "OOMKilled"))
    busy = pod.run("sh", "-c", "while :; do :; done", resources=resources)
    first = cri.ContainerStats(container_id=busy.id)["stats"]
    time.sleep(0.3)
    second = cri.ContainerStats(container_id=busy.id)["stats"]
    expect("stats of memory", True, first["memory"]["working_set_bytes"].get("value", 0) > 0)
    expect("stats of CPU", True, second["cpu"]["usage_core_nano_seconds"]["value"] > first["cpu"]["usage_core_nano_seconds"]["value"])
    if has_update:
        cri.UpdateContainerResources(container_id=busy.id, linux={"cpu_quota": 70000, "cpu_period": 100000, "memory_limit_in_bytes": 80 << 20})
        expect("update", (0, f"83886080\n{quota.format(70000)}\n"), busy.exec("cat", *files))
    else:
        report("skip", "update", f"{RUNTIME} has no update yet")
    pod.remove()


def probes_and_logs():
    pod = Pod("probes")
    container = pod.run("sleep", "1000")
    answers = {container.exec("sh", "-c", "echo alive; exit $((0))") for _ in range(50)}
    expect("fifty probes", {(0, "alive\n")}, answers)
    code, text = container.exec("ps")
    expect("nothing is left of them", 3, len(text.strip().splitlines()))  # the head, sleep, ps
    talker = pod.run("sh", "-c", "seq 1000; echo last >&2")
    talker.wait()
    # containerd tells the end, and may be writing the log still.
    expect("a thousand lines", True, soon(lambda: len(talker.log().splitlines()) == 1001))
    with open(talker.path) as file:
        expect_in("both streams", " stderr F last", file.read())
    os.rename(container.path, container.path + ".1")
    cri.ReopenContainerLog(container_id=container.id)
    expect("the log is opened again", True, os.path.exists(container.path))
    terminal = pod.run("tty", tty=True)
    terminal.wait()
    expect_in("a terminal", "/dev/pts/0", terminal.log())
    pod.remove()


def many_pods():
    began = time.monotonic()
    pods = [Pod(f"many{number}") for number in range(PODS)]
    containers = [pod.run("sleep", "1000") for pod in pods]
    expect(f"{PODS} pods run", [RUNNING] * PODS, [container.state() for container in containers])
    expect("exec in each", {(0, "yes\n")}, {container.exec("echo", "yes") for container in containers})
    for pod in pods:
        pod.remove()
    expect(f"{PODS} pods are gone", [], cri.ListPodSandbox()["items"])
    print(f"      ({PODS} pods took {time.monotonic() - began:.1f} s)")


def tried(group, *args):
    """Runs a group of tests; an error that none of them waits for is a failure, and its pods go."""
    try:
        group(*args)
    except grpc.RpcError as error:
        report("FAIL", group.__name__.replace("_", " "), error.details())
        for pod in cri.ListPodSandbox()["items"]:
            cri.StopPodSandbox(pod_sandbox_id=pod["id"])
            cri.RemovePodSandbox(pod_sandbox_id=pod["id"])


tried(runtime_is_ready)
tried(pods_live_and_die)
tried(containers_of_a_pod_share)
tried(containers_are_confined)
tried(mounts_and_devices)
tried(pods_have_user_namespaces)
tried(limits_are_kept, "update" in sys.argv)
tried(probes_and_logs)
tried(many_pods)
print("done")
