#!/usr/bin/env python3
"""Writes table.rs: the number of every system call on every architecture.

Usage: generate_table.py UAPI_DIR | rustfmt --edition 2024 > table.rs

UAPI_DIR is /usr/lib/linux/uapi of Debian's package linux-libc-dev (sid's is
for all architectures: `apt-get download linux-libc-dev`, `dpkg -x`). The
installed libseccomp is asked for what newer headers no longer have (31-bit
s390, whose numbers from 424 on are those of s390x, and retired names), and
every number that both know is compared.
"""
import ctypes
import os
import re
import sys

# column: (libseccomp's token, header, base that table.rs leaves out)
ARCHS = {
    "x86": (0x40000003, "x86/asm/unistd_32.h", 0),
    "x86_64": (0xC000003E, "x86/asm/unistd_64.h", 0),
    "x32": (0x4000003E, "x86/asm/unistd_x32.h", 0x40000000),
    "arm": (0x40000028, "arm/asm/unistd-eabi.h", 0),
    "aarch64": (0xC00000B7, "arm64/asm/unistd_64.h", 0),
    "loongarch64": (None, "loongarch/asm/unistd_64.h", 0),
    "m68k": (None, "m68k/asm/unistd_32.h", 0),
    "mips": (0x00000008, "mips/asm/unistd_o32.h", 4000),
    "mips64": (0x80000008, "mips/asm/unistd_n64.h", 5000),
    "mips64n32": (0xA0000008, "mips/asm/unistd_n32.h", 6000),
    "parisc": (0x0000000F, "parisc/asm/unistd_32.h", 0),
    "parisc64": (0x8000000F, "parisc/asm/unistd_64.h", 0),
    "ppc": (0x00000014, "powerpc/asm/unistd_32.h", 0),
    "ppc64": (0x80000015, "powerpc/asm/unistd_64.h", 0),
    "riscv64": (0xC00000F3, "riscv/asm/unistd_64.h", 0),
    "s390": (0x00000016, None, 0),
    "s390x": (0x80000016, "s390/asm/unistd_64.h", 0),
    "sh": (None, "sh/asm/unistd_32.h", 0),
}
NAMELESS = {"syscalls", "Linux", "Linux_syscalls", "SYSCALL_BASE", "arch_specific_syscall"}


def from_header(path):
    found = {}
    for line in open(path):
        m = re.match(r"#define __NR_(\w+)\s+\(?(?:__\w+\s*\+\s*)?(\d+)\)?\s*$", line)
        if m and m[1] not in NAMELESS:
            found[m[1]] = int(m[2])
    return found


def main():
    uapi = sys.argv[1]
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    libc = ctypes.CDLL(None)

    def ask_names(token, base):
        """Every name that libseccomp has for an architecture."""
        found = {}
        for nr in range(0, 700):
            text = lib.seccomp_syscall_resolve_num_arch(token, base + nr)
            if text:
                found[ctypes.string_at(text).decode()] = nr
                libc.free(ctypes.c_void_p(text))
        return found

    columns = {}
    for arch, (token, header, base) in ARCHS.items():
        column = from_header(os.path.join(uapi, header)) if header else {}
        if token is not None:
            for name, nr in ask_names(token, base).items():
                if column.setdefault(name, nr) != nr:
                    print(f"{arch}: {name} is {column[name]} in the headers, {nr} in libseccomp", file=sys.stderr)
        columns[arch] = column
    columns["s390"].update({n: nr for n, nr in columns["s390x"].items() if nr >= 424})
    # asm/unistd.h: __ARM_NR_BASE is 0x0f0000; the table writes it as 0xf000.
    for nr, name in enumerate(["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"], 1):
        columns["arm"][name] = 0xF000 + nr

    names = sorted(set().union(*columns.values()))
    print("//! The number of every system call on every architecture: data, made by generate_table.py.\n")
    print("/// The architectures of the columns, in their order.")
    print(f"pub(super) const COLUMNS: [&str; {len(ARCHS)}] = [{', '.join(chr(34) + a + chr(34) for a in ARCHS)}];\n")
    print("/// The call does not exist there.\npub(super) const N: u16 = u16::MAX;\n")
    print("/// Sorted by name. A number leaves out the base of its architecture (x32's bit, 4000 and so on of MIPS);")
    print("/// 0xf000 and up are Arm's private calls.")
    print("#[rustfmt::skip]")
    print(f"pub(super) static CALLS: [(&str, [u16; {len(ARCHS)}]); {len(names)}] = [")
    for name in names:
        row = ",".join(str(columns[a][name]) if name in columns[a] else "N" for a in ARCHS)
        print(f'    ("{name}", [{row}]),')
    print("];")


main()
