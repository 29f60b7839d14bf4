//! The architectures: what the kernel says of a call, and how its arguments lie in memory.

use std::ops::Range;

use oci_spec::runtime::Arch;

#[cfg(test)]
use super::syscalls::Call;
use super::syscalls::{ARM_PRIVATE, column};

/// The bit that tells an x32 call from an x86_64 one.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// One calling convention of a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Architecture {
    pub(super) name: &'static str,
    pub(super) arch: Arch,
    /// The column of the system call table.
    pub(super) column: usize,
    /// What the table leaves out of each number.
    pub(super) base: u32,
    /// Arguments are 64 bits wide; else only their low half is compared.
    pub(super) wide: bool,
    /// In memory the upper half of an argument comes first.
    pub(super) big_endian: bool,
    /// The kernel has `socketcall` and `ipc`.
    pub(super) multiplexes: bool,
}

impl Architecture {
    /// Finds an architecture; `None` for `SCMP_ARCH_NATIVE`, which names none.
    pub(super) fn find(arch: Arch) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|known| known.arch == arch)
    }

    /// What `seccomp_data.arch` holds: x32 says that it is x86_64.
    pub(super) fn audit(&self) -> u32 {
        match self.arch {
            Arch::ScmpArchX32 => Arch::ScmpArchX86_64 as u32,
            other => other as u32,
        }
    }

    /// The call with this name, with its base.
    #[cfg(test)]
    pub(super) fn number(&self, call: Call) -> Option<u32> {
        call.number(self.column).map(|number| self.base + number)
    }

    /// Numbers (without base) outside the sequence that grows with each kernel: Arm's private calls, and the x32
    /// calls that had to differ from their x86_64 namesakes.
    pub(super) fn out_of_sequence(&self) -> Range<u32> {
        match self.arch {
            Arch::ScmpArchX32 => 512..548,
            Arch::ScmpArchArm => ARM_PRIVATE..ARM_PRIVATE + 0x1_0000,
            _ => 0..0,
        }
    }
}

const fn row(
    name: &'static str,
    arch: Arch,
    table: &str,
    (bits, order): (u8, Order),
    base: u32,
    multiplexes: bool,
) -> Architecture {
    let big_endian = matches!(order, Order::Big);
    Architecture { name, arch, column: column(table), base, wide: bits == 64, big_endian, multiplexes }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// Every architecture of the runtime spec.
#[rustfmt::skip]
pub(super) static ARCHITECTURES: [Architecture; 23] = {
    use Arch::*;
    use Order::{Big, Little};
    [
        row("x86_64", ScmpArchX86_64, "x86_64", (64, Little), 0, false),
        row("x86", ScmpArchX86, "x86", (32, Little), 0, true),
        row("x32", ScmpArchX32, "x32", (32, Little), X32_BIT, false),
        row("arm", ScmpArchArm, "arm", (32, Little), 0, false),
        row("aarch64", ScmpArchAarch64, "aarch64", (64, Little), 0, false),
        row("mips", ScmpArchMips, "mips", (32, Big), 4000, true),
        row("mips64", ScmpArchMips64, "mips64", (64, Big), 5000, false),
        row("mips64n32", ScmpArchMips64n32, "mips64n32", (32, Big), 6000, false),
        row("mipsel", ScmpArchMipsel, "mips", (32, Little), 4000, true),
        row("mipsel64", ScmpArchMipsel64, "mips64", (64, Little), 5000, false),
        row("mipsel64n32", ScmpArchMipsel64n32, "mips64n32", (32, Little), 6000, false),
        row("ppc", ScmpArchPpc, "ppc", (32, Big), 0, true),
        row("ppc64", ScmpArchPpc64, "ppc64", (64, Big), 0, true),
        row("ppc64le", ScmpArchPpc64le, "ppc64", (64, Little), 0, true),
        row("s390", ScmpArchS390, "s390", (32, Big), 0, true),
        row("s390x", ScmpArchS390x, "s390x", (64, Big), 0, true),
        row("parisc", ScmpArchParisc, "parisc", (32, Big), 0, false),
        row("parisc64", ScmpArchParisc64, "parisc64", (64, Big), 0, false),
        row("riscv64", ScmpArchRiscv64, "riscv64", (64, Little), 0, false),
        row("loongarch64", ScmpArchLoongarch64, "loongarch64", (64, Little), 0, false),
        row("m68k", ScmpArchM68k, "m68k", (32, Big), 0, true),
        row("sh", ScmpArchSh, "sh", (32, Little), 0, true),
        row("sheb", ScmpArchSheb, "sh", (32, Big), 0, true),
    ]
};

/// The architecture that this `rt` was built for; `None` where the kernel has no seccomp filter.
pub fn native_arch() -> Option<Arch> {
    let big = cfg!(target_endian = "big");
    Some(match std::env::consts::ARCH {
        "x86_64" if cfg!(target_pointer_width = "32") => Arch::ScmpArchX32,
        "x86_64" => Arch::ScmpArchX86_64,
        "x86" => Arch::ScmpArchX86,
        "arm" => Arch::ScmpArchArm,
        "aarch64" => Arch::ScmpArchAarch64,
        "mips" if big => Arch::ScmpArchMips,
        "mips" => Arch::ScmpArchMipsel,
        "mips64" if big => Arch::ScmpArchMips64,
        "mips64" => Arch::ScmpArchMipsel64,
        "powerpc" => Arch::ScmpArchPpc,
        "powerpc64" if big => Arch::ScmpArchPpc64,
        "powerpc64" => Arch::ScmpArchPpc64le,
        "s390x" => Arch::ScmpArchS390x,
        "riscv64" => Arch::ScmpArchRiscv64,
        "loongarch64" => Arch::ScmpArchLoongarch64,
        "m68k" => Arch::ScmpArchM68k,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_a_token_agree_with_the_row() {
        for row in &ARCHITECTURES {
            let token = row.arch as u32;
            let little = token & 0x4000_0000 != 0;
            assert_eq!(little, !row.big_endian, "{}", row.name);
            // The n32 convention marks itself as 64 bits, but its arguments are 32.
            let wide = token & 0x8000_0000 != 0 && !row.name.ends_with("n32");
            assert_eq!(wide, row.wide, "{}", row.name);
        }
    }
}
