//! The second, protected execution of `stage::protect`, before the first one has done anything.
//!
//! What the first execution does until then is done again by the second: relocations, the C library's start-up, 60
//! page faults and 20 system calls. So this runs ahead of all of it, in the verbs that may enter a container. What
//! does not work here is left to `stage::protect`, which knows the other ways, says what is wrong, and looks in the
//! second execution at what it runs from.
//!
//! Nothing is relocated yet, which rules out Rust: the compiler reads pointers from memory, and calls memcpy, as it
//! likes. The caller has argv in r14 and the environment in r13; rbx and r15 are changed.

std::arch::global_asm!(
    ".globl rt_execute_protected",
    ".hidden rt_execute_protected",
    ".type rt_execute_protected, @function",
    "rt_execute_protected:",
    "mov rbp, rsp",
    // A verb, by its first four letters; a word that only looks like one costs an execution, and nothing else. There
    // are eight bytes at least after the beginning of each string: the kernel puts the program's path behind them.
    "mov rdi, r14",
    "2:",
    "add rdi, 8",
    "mov rsi, [rdi]",
    "test rsi, rsi",
    "jz 9f",
    "mov eax, [rsi]",
    "cmp eax, {run}",
    "je 3f",
    "cmp eax, {create}",
    "je 3f",
    "cmp eax, {exec}",
    "je 3f",
    "cmp eax, {mounts}",
    "je 3f",
    "cmp eax, {restore}",
    "jne 2b",
    // Unless this is the second execution: count the environment.
    "3:",
    "mov rdx, [rip + rt_marker]",
    "xor ecx, ecx",
    "4:",
    "mov rax, [r13 + rcx * 8]",
    "test rax, rax",
    "jz 5f",
    "cmp rdx, [rax]",
    "je 9f",
    "inc rcx",
    "jmp 4b",
    // The same environment and the marker, on the stack.
    "5:",
    "lea rax, [rcx * 8 + 16]",
    "sub rsp, rax",
    "mov rbx, rsp",
    "mov rdi, rsp",
    "mov rsi, r13",
    "rep movsq",
    "lea rax, [rip + rt_marker]",
    "stosq",
    "xor eax, eax",
    "stosq",
    // open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    "mov eax, {open_tree}",
    "mov edi, {here}",
    "lea rsi, [rip + rt_own_file]",
    "mov edx, {clone}",
    "syscall",
    "test eax, eax",
    "js 9f",
    "mov r15d, eax",
    // mount_setattr(file, "", AT_EMPTY_PATH, {{MOUNT_ATTR_RDONLY}}, 32)
    "mov eax, {mount_setattr}",
    "mov edi, r15d",
    "lea rsi, [rip + rt_nothing]",
    "mov edx, {empty_path}",
    "lea r10, [rip + rt_read_only]",
    "mov r8d, 32",
    "syscall",
    "test eax, eax",
    "jnz 8f",
    // execveat(file, "", argv, environment, AT_EMPTY_PATH)
    "mov eax, {execveat}",
    "mov edi, r15d",
    "lea rsi, [rip + rt_nothing]",
    "mov rdx, r14",
    "mov r10, rbx",
    "mov r8d, {empty_path}",
    "syscall",
    "8:",
    "mov eax, {close}",
    "mov edi, r15d",
    "syscall",
    "9:",
    "mov rsp, rbp",
    "ret",
    ".pushsection .rodata",
    ".balign 8",
    "rt_read_only: .quad {read_only}, 0, 0, 0",
    "rt_marker: .asciz \"_RT_PROTECTED=1\"",
    "rt_own_file: .ascii \"/proc/self/exe\"",
    "rt_nothing: .byte 0",
    ".popsection",
    run = const letters(b"run\0"),
    create = const letters(b"crea"),
    exec = const letters(b"exec"),
    mounts = const letters(b"moun"),
    restore = const letters(b"rest"),
    open_tree = const libc::SYS_open_tree,
    here = const libc::AT_FDCWD,
    clone = const super::mount::OPEN_TREE_CLONE | libc::O_CLOEXEC as u32,
    mount_setattr = const libc::SYS_mount_setattr,
    read_only = const libc::MOUNT_ATTR_RDONLY,
    execveat = const libc::SYS_execveat,
    empty_path = const libc::AT_EMPTY_PATH,
    close = const libc::SYS_close,
);

const fn letters(four: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*four)
}
