//! From the name of a system call to its number on each architecture.
//!
//! The table is taken apart at compile time: without a pointer in it, it is no work at the start of any command, and
//! the columns of one machine lie close together.

use super::table::{CALLS, COLUMNS, N};

/// How many calls there are.
const COUNT: usize = CALLS.len();
/// All names, one behind the other.
static NAMES: [u8; ENDS[COUNT] as usize] = names();
/// Where each name begins in [`NAMES`], and the last one ends.
static BEGINNINGS: [u16; COUNT + 1] = ENDS;
const ENDS: [u16; COUNT + 1] = beginnings();
/// The numbers, column by column.
static NUMBERS: [[u16; COUNT]; COLUMNS.len()] = columns();

/// A slot table of twice the number of names or more: most look-ups compare one name.
const SLOTS: usize = 2048;
/// Marks a free slot.
const FREE: u16 = u16::MAX;
/// Where Arm's private calls begin; the table writes them as 0xf000 and up.
pub(super) const ARM_PRIVATE: u32 = 0x0f_0000;

/// Row of the table by hash of the name.
static BY_NAME: [u16; SLOTS] = hash_table();
/// The row's place in a multiplexer, by row.
static MULTIPLEXED: [Option<Multiplexed>; COUNT] = multiplexed_rows();

/// One of the two system calls that hide others behind their first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multiplexer {
    /// `socketcall(call, args)`; the kernel reads `call` as 32 bits.
    Socketcall,
    /// `ipc(call, …)`; the kernel reads the call from the low 16 bits, the upper ones are a version.
    Ipc,
}

/// How a call is reached through a multiplexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Multiplexed {
    pub(super) by: Multiplexer,
    /// The value of the first argument.
    pub(super) call: u8,
}

impl Multiplexer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Socketcall => "socketcall",
            Self::Ipc => "ipc",
        }
    }

    /// The bits of the first argument that the kernel looks at.
    pub(super) fn mask(self) -> u64 {
        match self {
            Self::Socketcall => 0xffff_ffff,
            Self::Ipc => 0xffff,
        }
    }
}

/// A system call that `rt` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call(u16);

impl Call {
    /// Finds a call by name; `None` for a name that no known kernel has.
    pub(super) fn find(name: &str) -> Option<Self> {
        let mut slot = hash(name.as_bytes()) % SLOTS;
        loop {
            match BY_NAME[slot] {
                FREE => return None,
                row if name_at(usize::from(row)) == name.as_bytes() => return Some(Self(row)),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    /// Every known call, for tests and for people.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(|row| Self(row as u16))
    }

    /// The name, as the kernel's headers write it.
    #[cfg(test)]
    pub(super) fn name(self) -> &'static str {
        name_of_row(usize::from(self.0))
    }

    /// The number in a column of the table, without the architecture's base.
    pub(super) fn number(self, column: usize) -> Option<u32> {
        match NUMBERS[column][usize::from(self.0)] {
            N => None,
            private @ 0xf000.. => Some(ARM_PRIVATE | u32::from(private & 0xfff)),
            number => Some(u32::from(number)),
        }
    }

    /// The multiplexer that also reaches this call, on architectures that have one.
    pub(super) fn multiplexed(self) -> Option<Multiplexed> {
        MULTIPLEXED[usize::from(self.0)]
    }
}

/// The name of the call with this number in a column, for people; slow.
pub(super) fn name_of(column: usize, number: u32) -> Option<&'static str> {
    (0..COUNT as u16)
        .map(Call)
        .find(|call| call.number(column) == Some(number))
        .map(|call| name_of_row(usize::from(call.0)))
}

fn name_of_row(row: usize) -> &'static str {
    std::str::from_utf8(name_at(row)).expect("the table is ASCII")
}

fn name_at(row: usize) -> &'static [u8] {
    &NAMES[usize::from(BEGINNINGS[row])..usize::from(BEGINNINGS[row + 1])]
}

const fn beginnings() -> [u16; COUNT + 1] {
    let mut list = [0; COUNT + 1];
    let mut row = 0;
    while row < COUNT {
        list[row + 1] = list[row] + CALLS[row].0.len() as u16;
        row += 1;
    }
    list
}

const fn names() -> [u8; ENDS[COUNT] as usize] {
    let mut all = [0; ENDS[COUNT] as usize];
    let (mut row, mut end) = (0, 0);
    while row < COUNT {
        let name = CALLS[row].0.as_bytes();
        let mut at = 0;
        while at < name.len() {
            all[end] = name[at];
            end += 1;
            at += 1;
        }
        row += 1;
    }
    all
}

const fn columns() -> [[u16; COUNT]; COLUMNS.len()] {
    let mut columns = [[N; COUNT]; COLUMNS.len()];
    let mut row = 0;
    while row < COUNT {
        let mut column = 0;
        while column < COLUMNS.len() {
            columns[column][row] = CALLS[row].1[column];
            column += 1;
        }
        row += 1;
    }
    columns
}

/// The column of an architecture.
pub(super) const fn column(name: &str) -> usize {
    let mut at = 0;
    while !same(COLUMNS[at].as_bytes(), name.as_bytes()) {
        at += 1;
    }
    at
}

/// FNV-1a: short names, and usable by the compiler.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ (hash >> 15)) as usize
}

const fn hash_table() -> [u16; SLOTS] {
    let mut slots = [FREE; SLOTS];
    let mut row = 0;
    while row < COUNT {
        let mut slot = hash(CALLS[row].0.as_bytes()) % SLOTS;
        while slots[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = row as u16;
        row += 1;
    }
    slots
}

/// `linux/net.h` (SYS_SOCKET …), in order from 1.
const SOCKETCALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
/// `linux/ipc.h` (SEMOP …).
const IPCS: [(&str, u8); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

const fn multiplexed_rows() -> [Option<Multiplexed>; COUNT] {
    let mut rows = [None; COUNT];
    let mut row = 0;
    while row < COUNT {
        let name = CALLS[row].0.as_bytes();
        let mut at = 0;
        while at < SOCKETCALLS.len() {
            if same(name, SOCKETCALLS[at].as_bytes()) {
                rows[row] = Some(Multiplexed { by: Multiplexer::Socketcall, call: at as u8 + 1 });
            }
            at += 1;
        }
        at = 0;
        while at < IPCS.len() {
            if same(name, IPCS[at].0.as_bytes()) {
                rows[row] = Some(Multiplexed { by: Multiplexer::Ipc, call: IPCS[at].1 });
            }
            at += 1;
        }
        row += 1;
    }
    rows
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_found() {
        assert!(CALLS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for call in Call::all() {
            assert_eq!(Call::find(call.name()), Some(call));
        }
        for unknown in ["", "open_", "no_such_call", "OPENAT"] {
            assert_eq!(Call::find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn no_two_names_share_a_number() {
        for (column, arch) in COLUMNS.iter().enumerate() {
            let mut numbers: Vec<_> = Call::all().filter_map(|call| call.number(column)).collect();
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert!(all > 300 || *arch == "aarch64" || *arch == "riscv64" || *arch == "loongarch64");
            assert_eq!(numbers.len(), all, "{arch}");
        }
    }

    #[test]
    fn a_few_numbers_are_those_of_the_manuals() {
        for (arch, name, number) in [
            ("x86_64", "read", Some(0)),
            ("x86_64", "file_setattr", Some(469)),
            ("x86", "socketcall", Some(102)),
            ("x86", "accept", None),
            ("arm", "set_tls", Some(0x0f_0005)),
            ("aarch64", "openat", Some(56)),
            ("s390", "mseal", Some(462)),
        ] {
            let call = Call::find(name).expect("the table has it");
            assert_eq!(call.number(column(arch)), number, "{arch} {name}");
        }
    }

    #[test]
    fn every_multiplexed_call_is_in_the_table() {
        let found = Call::all().filter(|call| call.multiplexed().is_some()).count();
        assert_eq!(found, SOCKETCALLS.len() + IPCS.len());
    }
}
