//! The C library's start-up, without its 68 questions about the processor's caches.
//!
//! Each is a CPUID instruction, which traps in a virtual machine: 2 to 20 microseconds, half of what a short call of
//! `rt` costs. The answers only choose among copies of memcpy and its like; not asked for, the C library takes those
//! that each x86-64 processor has. All else is done as `__libc_start_main` of glibc 2.36 does it, in its order; so
//! `.cargo/rustc-static` enters here for that version alone, and the C library's own `_start` is for all others.

use std::ffi::{c_char, c_int, c_long, c_void};

// On entry the stack holds argc, argv, the environment and the auxiliary vector. Until the relocations are applied,
// nothing may be called by a pointer that lies in memory: hence not in Rust.
std::arch::global_asm!(
    ".globl rt_start",
    ".type rt_start, @function",
    "rt_start:",
    "mov r12, rsp",
    "and rsp, -16",
    "mov rax, [r12]",
    "lea r13, [r12 + rax * 8 + 16]",
    "lea r14, [r12 + 8]",
    "call rt_execute_protected",
    "xor ebp, ebp",
    "mov [rip + __environ], r13",
    "mov [rip + __libc_stack_end], r12",
    "mov rdi, r13",
    "2:",
    "add rdi, 8",
    "cmp qword ptr [rdi - 8], 0",
    "jne 2b",
    "call _dl_aux_init",
    "mov rdi, r13",
    "call __tunables_init",
    "call _dl_relocate_static_pie",
    "mov rdi, r12",
    "mov rsi, r13",
    "call {begin}",
    "ud2",
    begin = sym begin,
);

type Strings = *const *const c_char;
type Initializer = unsafe extern "C" fn(c_int, Strings, Strings);

unsafe extern "C" {
    static mut __x86_shared_non_temporal_threshold: c_long;
    static mut __x86_rep_movsb_stop_threshold: c_long;
    static _dl_random: *const [usize; 2];
    static __preinit_array_start: [Initializer; 0];
    static __preinit_array_end: [Initializer; 0];
    static __init_array_start: [Initializer; 0];
    static __init_array_end: [Initializer; 0];
    fn __libc_setup_tls();
    fn __libc_early_init(initial: bool);
    fn __libc_init_first(argc: c_int, argv: Strings, environment: Strings);
    fn _init();
    fn exit(code: c_int) -> !;
    fn main(argc: c_int, argv: Strings) -> c_int;
}

/// From where this many bytes are copied past the caches: what glibc takes where it knows nothing of them.
const NON_TEMPORAL_BYTES: c_long = (1024 * 1024) / 4 * 3;

/// The rest of the start-up, once the relocations are applied.
///
/// # Safety
/// `stack` is the stack as the kernel has left it, `environment` points into it, and this is the first call.
unsafe extern "C" fn begin(stack: *const c_void, environment: Strings) -> ! {
    // SAFETY: these are the C library's own variables and functions, in the order of its own start-up; there is one
    // thread. argc and argv lie on the stack.
    unsafe {
        __x86_shared_non_temporal_threshold = NON_TEMPORAL_BYTES;
        __x86_rep_movsb_stop_threshold = NON_TEMPORAL_BYTES;
        __libc_setup_tls();
        // The kernel does not align them.
        protect_stack(_dl_random.read_unaligned());
        let (argc, argv) = (*stack.cast::<c_int>(), stack.cast::<*const c_char>().add(1));
        __libc_early_init(true);
        // Among others, it makes read-only what the relocations were the last to write (RELRO).
        __libc_init_first(argc, argv, environment);
        let call_all = |mut next: *const Initializer, end: *const Initializer| {
            while next < end {
                (*next)(argc, argv, environment);
                next = next.add(1);
            }
        };
        call_all((&raw const __preinit_array_start).cast(), (&raw const __preinit_array_end).cast());
        _init();
        call_all((&raw const __init_array_start).cast(), (&raw const __init_array_end).cast());
        exit(main(argc, argv))
    }
}

/// Gives the thread its secrets, from the kernel's random bytes: what guards stack frames, and stored code addresses.
///
/// # Safety
/// The thread's own storage is there.
unsafe fn protect_stack([frames, pointers]: [usize; 2]) {
    // A string that overflows cannot contain the first byte of the guard: it is 0.
    let frames = frames & !0xff;
    // SAFETY: these are the places that the x86-64 ABI of glibc has for the two.
    unsafe {
        std::arch::asm!("mov fs:[0x28], {}", "mov fs:[0x30], {}", in(reg) frames, in(reg) pointers, options(nostack));
    }
}
