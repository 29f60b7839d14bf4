"""The part of Kubernetes' container runtime interface (CRI v1) that the tests speak: messages are dicts.

Nothing of it needs a code generator: a message is a table of `name number type`, and the wire format of protocol
buffers is forty lines. Only HTTP/2 comes from a library (python3-grpcio).
"""

import struct

import grpc

# MESSAGE: NAME NUMBER TYPE, ...   `*` repeated, `~` map of strings; a type with a capital letter is a message.
MESSAGES = {}
for line in """
Version: version 1 string
VersionAnswer: version 1 string, runtime_name 2 string, runtime_version 3 string, runtime_api_version 4 string
StatusAsk: verbose 1 bool
StatusAnswer: status 1 RuntimeStatus, info 2 ~string, runtime_handlers 3 *Handler
Handler: name 1 string, features 2 HandlerFeatures
HandlerFeatures: recursive_read_only_mounts 1 bool, user_namespaces 2 bool
RuntimeStatus: conditions 1 *RuntimeCondition
RuntimeCondition: type 1 string, status 2 bool, reason 3 string, message 4 string
PodConfig: metadata 1 PodMetadata, hostname 2 string, log_directory 3 string, port_mappings 5 *Port, labels 6 ~string, annotations 7 ~string, linux 8 PodLinux
PodMetadata: name 1 string, uid 2 string, namespace 3 string, attempt 4 int
Port: protocol 1 int, container_port 2 int, host_port 3 int, host_ip 4 string
PodLinux: cgroup_parent 1 string, security_context 2 PodSecurity, sysctls 3 ~string
PodSecurity: namespace_options 1 Namespaces, run_as_user 3 Number, readonly_rootfs 4 bool, privileged 6 bool, seccomp 9 Profile
Namespaces: network 1 int, pid 2 int, ipc 3 int, target_id 4 string, userns_options 5 UserNamespace
UserNamespace: mode 1 int, uids 2 *Mapping, gids 3 *Mapping
Mapping: host_id 1 int, container_id 2 int, length 3 int
Profile: profile_type 1 int, localhost_ref 2 string
Number: value 1 int
RunPod: config 1 PodConfig, runtime_handler 2 string
PodId: pod_sandbox_id 1 string
PodStatusAsk: pod_sandbox_id 1 string, verbose 2 bool
PodStatusAnswer: status 1 PodStatus, info 2 ~string
PodStatus: id 1 string, state 3 int, created_at 4 int, network 5 PodNetwork, runtime_handler 9 string
PodNetwork: ip 1 string
Empty:
PodList: items 1 *Pod
Pod: id 1 string, state 3 int
ContainerConfig: metadata 1 ContainerMetadata, image 2 ImageSpec, command 3 *string, args 4 *string, working_dir 5 string, envs 6 *KeyValue, mounts 7 *Mount, devices 8 *Device, labels 9 ~string, annotations 10 ~string, log_path 11 string, stdin 12 bool, stdin_once 13 bool, tty 14 bool, linux 15 ContainerLinux
ContainerMetadata: name 1 string, attempt 2 int
ImageSpec: image 1 string
KeyValue: key 1 string, value 2 string
Mount: container_path 1 string, host_path 2 string, readonly 3 bool, propagation 5 int, uid_mappings 6 *Mapping, gid_mappings 7 *Mapping, recursive_read_only 8 bool
Device: container_path 1 string, host_path 2 string, permissions 3 string
ContainerLinux: resources 1 Resources, security_context 2 ContainerSecurity
Resources: cpu_period 1 int, cpu_quota 2 int, cpu_shares 3 int, memory_limit_in_bytes 4 int, oom_score_adj 5 int, cpuset_cpus 6 string, cpuset_mems 7 string
ContainerSecurity: capabilities 1 Capabilities, privileged 2 bool, namespace_options 3 Namespaces, run_as_user 5 Number, readonly_rootfs 7 bool, supplemental_groups 8 *int, no_new_privs 11 bool, run_as_group 12 Number, masked_paths 13 *string, readonly_paths 14 *string, seccomp 15 Profile
Capabilities: add_capabilities 1 *string, drop_capabilities 2 *string
CreateContainer: pod_sandbox_id 1 string, config 2 ContainerConfig, sandbox_config 3 PodConfig
ContainerId: container_id 1 string
StopContainer: container_id 1 string, timeout 2 int
ContainerStatusAsk: container_id 1 string, verbose 2 bool
ContainerStatusAnswer: status 1 ContainerStatus, info 2 ~string
ContainerStatus: id 1 string, state 3 int, created_at 4 int, started_at 5 int, finished_at 6 int, exit_code 7 int, reason 10 string, message 11 string, log_path 15 string
ContainerList: containers 1 *Container
Container: id 1 string, pod_sandbox_id 2 string, state 6 int
Update: container_id 1 string, linux 2 Resources
ExecSync: container_id 1 string, cmd 2 *string, timeout 3 int
ExecSyncAnswer: stdout 1 bytes, stderr 2 bytes, exit_code 3 int
StatsAnswer: stats 1 Stats
Stats: cpu 2 Cpu, memory 3 Memory
Cpu: timestamp 1 int, usage_core_nano_seconds 2 Number
Memory: timestamp 1 int, working_set_bytes 2 Number, usage_bytes 4 Number, rss_bytes 5 Number
ImageList: images 1 *Image
Image: id 1 string, repo_tags 2 *string
""".strip().splitlines():
    message, _, fields = line.partition(":")
    MESSAGES[message] = [tuple(field.split()) for field in fields.split(",") if field.strip()]

# METHOD: what it takes, and what it gives
METHODS = {
    "Version": ("Version", "VersionAnswer"),
    "Status": ("StatusAsk", "StatusAnswer"),
    "RunPodSandbox": ("RunPod", "PodId"),
    "StopPodSandbox": ("PodId", "Empty"),
    "RemovePodSandbox": ("PodId", "Empty"),
    "PodSandboxStatus": ("PodStatusAsk", "PodStatusAnswer"),
    "ListPodSandbox": ("Empty", "PodList"),
    "CreateContainer": ("CreateContainer", "ContainerId"),
    "StartContainer": ("ContainerId", "Empty"),
    "StopContainer": ("StopContainer", "Empty"),
    "RemoveContainer": ("ContainerId", "Empty"),
    "ListContainers": ("Empty", "ContainerList"),
    "ContainerStatus": ("ContainerStatusAsk", "ContainerStatusAnswer"),
    "UpdateContainerResources": ("Update", "Empty"),
    "ReopenContainerLog": ("ContainerId", "Empty"),
    "ExecSync": ("ExecSync", "ExecSyncAnswer"),
    "ContainerStats": ("ContainerId", "StatsAnswer"),
    "ListImages": ("Empty", "ImageList"),
}

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_field(number, kind, value):
    if kind in ("int", "bool"):
        return varint(number << 3 | VARINT) + varint(int(value))
    if kind in ("string", "bytes"):
        value = value.encode() if isinstance(value, str) else value
    else:
        value = encode(kind, value)
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def encode(message, values):
    unknown = set(values) - {name for name, _, _ in MESSAGES[message]}
    assert not unknown, f"{message} has no {unknown}"
    out = b""
    for name, number, kind in MESSAGES[message]:
        number, value = int(number), values.get(name)
        if value is None:
            continue
        if kind.startswith("*"):
            out += b"".join(encode_field(number, kind[1:], item) for item in value)
        elif kind.startswith("~"):
            for key, item in value.items():
                entry = encode_field(1, "string", key) + encode_field(2, kind[1:], item)
                out += encode_field(number, "bytes", entry)
        else:
            out += encode_field(number, kind, value)
    return out


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def read_fields(data):
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        wire = key & 7
        if wire == VARINT:
            value, at = read_varint(data, at)
        elif wire == BYTES:
            length, at = read_varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            length = 8 if wire == FIXED64 else 4
            value, at = struct.unpack("<Q" if length == 8 else "<I", data[at : at + length])[0], at + length
        yield key >> 3, value


def decode_value(kind, value):
    if kind == "string":
        return value.decode()
    if kind == "bytes":
        return value
    if kind == "bool":
        return bool(value)
    if kind == "int":
        return value - (1 << 64) if value >> 63 else value
    return decode(kind, value)


def decode(message, data):
    table = {int(number): (name, kind) for name, number, kind in MESSAGES[message]}
    out = {name: [] if kind[0] == "*" else {} for name, kind in table.values() if kind[0] in "*~"}
    for number, value in read_fields(data):
        if number not in table:
            continue
        name, kind = table[number]
        if kind[0] == "*":
            out[name].append(decode_value(kind[1:], value))
        elif kind[0] == "~":
            entry = dict(read_fields(value))
            out[name][entry.get(1, b"").decode()] = decode_value(kind[1:], entry.get(2, b""))
        else:
            out[name] = decode_value(kind, value)
    return out


class Cri:
    """A connection; `cri.ExecSync(container_id=..., cmd=[...])` calls the method of that name."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel("unix:" + socket)

    def __getattr__(self, method):
        asked, answered = METHODS[method]
        service = "ImageService" if method == "ListImages" else "RuntimeService"
        call = self.channel.unary_unary(
            f"/runtime.v1.{service}/{method}",
            request_serializer=lambda values: encode(asked, values),
            response_deserializer=lambda data: decode(answered, data),
        )
        return lambda **values: call(values, timeout=60, wait_for_ready=True)
