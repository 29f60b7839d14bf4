//! bpf(2), as far as device programs of cgroups need it.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 1 << 1;
const F_REPLACE: u32 = 1 << 2;

/// The most programs that one cgroup can have (BPF_CGROUP_MAX_PROGS).
const MAX_PROGRAMS: usize = 64;
/// Length of a program's name with its NUL (BPF_OBJ_NAME_LEN).
const NAME_LENGTH: usize = 16;

/// The head of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; NAME_LENGTH],
}

/// The same for BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// The same for BPF_PROG_QUERY.
#[repr(C)]
#[derive(Default)]
struct QueryAttributes {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

/// The same for BPF_PROG_GET_FD_BY_ID.
#[repr(C)]
#[derive(Default)]
struct IdAttributes {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The same for BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
#[derive(Default)]
struct InfoAttributes {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The head of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    numbers: [u64; 8],
    name: [u8; NAME_LENGTH],
}

/// `int bpf(int cmd, union bpf_attr *attr, unsigned int size)`,
/// [bpf(2)](https://man7.org/linux/man-pages/man2/bpf.2.html).
///
/// # Safety
/// `T` is the `repr(C)` head of `union bpf_attr` that belongs to `command`, without padding, and every address in it
/// is valid for what the command does with it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_int, Errno> {
    // SAFETY: the pointer and the size are those of a live object; its content is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    Errno::result(result).map(|value| libc::c_int::try_from(value).expect("bpf returns an int"))
}

fn number(fd: BorrowedFd) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Loads a BPF_PROG_TYPE_CGROUP_DEVICE program; the descriptor is CLOEXEC by the kernel's own doing.
///
/// # Errors
/// EPERM without CAP_BPF and CAP_NET_ADMIN, and in a user namespace; EINVAL and EACCES when the verifier refuses it;
/// ENOSYS or EINVAL on a kernel without CONFIG_CGROUP_BPF.
pub fn load_device_program(instructions: &[u64], name: &CStr) -> Result<OwnedFd, Errno> {
    let mut attributes = LoadAttributes {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        prog_name: padded(name),
        ..LoadAttributes::default()
    };
    // SAFETY: `insns` and `license` point to live objects of the length that the attributes say.
    let fd = unsafe { bpf(PROG_LOAD, &mut attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup2 directory beside others, or in place of one of them.
///
/// # Errors
/// EPERM where an ancestor allows no further programs; EBADF for a directory of cgroup v1.
pub fn attach_device_program(
    cgroup: BorrowedFd,
    program: BorrowedFd,
    replace: Option<BorrowedFd>,
) -> Result<(), Errno> {
    let mut attributes = AttachAttributes {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: CGROUP_DEVICE,
        attach_flags: F_ALLOW_MULTI | if replace.is_some() { F_REPLACE } else { 0 },
        replace_bpf_fd: replace.map_or(0, number),
    };
    // SAFETY: the attributes hold descriptors and numbers only.
    unsafe { bpf(PROG_ATTACH, &mut attributes) }.map(drop)
}

/// Detaches a device program from a cgroup2 directory.
///
/// # Errors
/// ENOENT when it is not attached there.
pub fn detach_device_program(cgroup: BorrowedFd, program: BorrowedFd) -> Result<(), Errno> {
    let mut attributes = AttachAttributes {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: CGROUP_DEVICE,
        ..AttachAttributes::default()
    };
    // SAFETY: the attributes hold descriptors and numbers only.
    unsafe { bpf(PROG_DETACH, &mut attributes) }.map(drop)
}

/// The device programs that are attached to a cgroup2 directory itself, in the order in which they run.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN; EBADF for a directory of cgroup v1.
pub fn device_programs(cgroup: BorrowedFd) -> Result<Vec<OwnedFd>, Errno> {
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut attributes = QueryAttributes {
        target_fd: number(cgroup),
        attach_type: CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MAX_PROGRAMS as u32,
        ..QueryAttributes::default()
    };
    // SAFETY: `prog_ids` has room for `prog_cnt` numbers.
    unsafe { bpf(PROG_QUERY, &mut attributes) }?;
    ids.iter().take(attributes.prog_cnt as usize).map(|id| open_program(*id)).collect()
}

fn open_program(id: u32) -> Result<OwnedFd, Errno> {
    let mut attributes = IdAttributes { id, ..IdAttributes::default() };
    // SAFETY: the attributes hold numbers only.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a program was loaded under this name.
///
/// # Errors
/// None that a caller could expect of a program's descriptor.
pub fn is_named(program: BorrowedFd, name: &CStr) -> Result<bool, Errno> {
    let mut info = ProgramInfo::default();
    let mut attributes = InfoAttributes {
        bpf_fd: number(program),
        info_len: size_of::<ProgramInfo>() as u32,
        info: &raw mut info as u64,
    };
    // SAFETY: `info` has room for `info_len` bytes.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(info.name == padded(name))
}

fn padded(name: &CStr) -> [u8; NAME_LENGTH] {
    let mut padded = [0; NAME_LENGTH];
    let bytes = name.to_bytes();
    let length = bytes.len().min(NAME_LENGTH - 1);
    padded[..length].copy_from_slice(&bytes[..length]);
    padded
}
