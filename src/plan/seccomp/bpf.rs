//! An assembler for classic BPF that writes a program from its end to its beginning.
//!
//! Jumps only go forward, so whoever writes backwards knows every target already: no labels to resolve and no
//! second pass. A conditional jump reaches 255 instructions; where the target is farther, a long jump (or another
//! return, which costs the same) is put in between.

/// One instruction, as the kernel takes it.
pub use libc::sock_filter as SockFilter;

/// The most instructions that the kernel takes (BPF_MAXINSNS).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
pub(super) const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// How far a conditional jump may aim: 255, less the stubs that one jump can put in its own way.
const REACH: usize = 253;

/// Where a jump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Ends the filter with this value.
    Return(u32),
    /// An instruction that is already written, counted from the end of the program.
    Label(usize),
}

/// The program so far.
pub(super) struct Assembler {
    reversed: Vec<SockFilter>,
    /// The nearest return of each value.
    returns: Vec<(u32, usize)>,
}

impl Default for Assembler {
    fn default() -> Self {
        // Room for Docker's profile: growing would copy it half a dozen times.
        Self { reversed: Vec::with_capacity(256), returns: Vec::new() }
    }
}

impl Assembler {
    /// `if accumulator OP k { yes } else { no }`.
    pub(super) fn branch(&mut self, operation: u16, k: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        let no = self.reach(no);
        let yes = self.reach(yes);
        let here = self.reversed.len();
        let distance = |label: usize| (here - label - 1) as u8;
        self.push(operation, distance(yes), distance(no), k)
    }

    /// Loads 32 bits of `seccomp_data`, then goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.step(LOAD, offset, next)
    }

    /// Masks the accumulator, then goes on at `next`.
    pub(super) fn mask(&mut self, mask: u32, next: Target) -> Target {
        self.step(AND, mask, next)
    }

    fn step(&mut self, code: u16, k: u32, next: Target) -> Target {
        if let Target::Return(_) = next {
            return next; // Nobody would look at the accumulator.
        }
        self.adjoin(next);
        self.push(code, 0, 0, k)
    }

    /// The finished program, which begins at `entry`.
    pub(super) fn finish(mut self, entry: Target) -> Vec<SockFilter> {
        self.adjoin(entry);
        self.reversed.reverse();
        self.reversed
    }

    /// A label for the target that a conditional jump can reach from here.
    fn reach(&mut self, target: Target) -> usize {
        let here = self.reversed.len();
        match target {
            Target::Label(label) if here - label <= REACH => label,
            Target::Label(label) => {
                self.push(JUMP, 0, 0, (here - label - 1) as u32);
                here
            }
            Target::Return(value) => {
                let known = self.returns.iter_mut().find(|(known, _)| *known == value);
                match known {
                    Some((_, label)) if here - *label <= REACH => *label,
                    Some((_, label)) => {
                        *label = here;
                        self.push(RETURN, 0, 0, value);
                        here
                    }
                    None => {
                        self.returns.push((value, here));
                        self.push(RETURN, 0, 0, value);
                        here
                    }
                }
            }
        }
    }

    /// Makes the target the instruction that follows the next one pushed.
    fn adjoin(&mut self, target: Target) {
        let here = self.reversed.len();
        match target {
            Target::Label(label) if label + 1 == here => {}
            Target::Label(label) => {
                self.push(JUMP, 0, 0, (here - label - 1) as u32);
            }
            Target::Return(value) => {
                if self.reversed.last().is_none_or(|last| last.code != RETURN || last.k != value) {
                    self.push(RETURN, 0, 0, value);
                }
            }
        }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Target {
        self.reversed.push(SockFilter { code, jt, jf, k });
        Target::Label(self.reversed.len() - 1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a filter is asked about: `struct seccomp_data` without the instruction pointer.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Question {
        pub(in super::super) number: u32,
        pub(in super::super) audit: u32,
        pub(in super::super) args: [u64; 6],
        pub(in super::super) big_endian: bool,
    }

    /// Runs a filter as the kernel would, and checks what its verifier would.
    pub(in super::super) fn run(program: &[SockFilter], question: &Question) -> u32 {
        run_seen(program, question, |_| {})
    }

    /// The same, and shows every instruction on the way.
    pub(in super::super) fn run_seen(program: &[SockFilter], question: &Question, mut see: impl FnMut(usize)) -> u32 {
        let mut accumulator = 0u32;
        let mut at = 0;
        loop {
            see(at);
            let SockFilter { code, jt, jf, k } = program[at];
            at += 1;
            let (jt, jf) = (usize::from(jt), usize::from(jf));
            match code {
                LOAD => accumulator = word(question, k),
                AND => accumulator &= k,
                JUMP => at += k as usize,
                EQUAL => at += if accumulator == k { jt } else { jf },
                GREATER => at += if accumulator > k { jt } else { jf },
                AT_LEAST => at += if accumulator >= k { jt } else { jf },
                ANY_BIT => at += if accumulator & k != 0 { jt } else { jf },
                RETURN => return k,
                other => panic!("instruction {other:#x} at {}", at - 1),
            }
        }
    }

    fn word(question: &Question, offset: u32) -> u32 {
        match offset {
            0 => question.number,
            4 => question.audit,
            16..64 if offset.is_multiple_of(4) => {
                let arg = question.args[(offset as usize - 16) / 8];
                let upper = offset.is_multiple_of(8) == question.big_endian;
                if upper { (arg >> 32) as u32 } else { arg as u32 }
            }
            other => panic!("loads {other}"),
        }
    }

    #[test]
    fn a_far_target_is_reached_by_a_long_jump() {
        let mut asm = Assembler::default();
        let far = asm.branch(EQUAL, 7, Target::Return(70), Target::Return(71));
        let mut next = Target::Return(0);
        for k in 1000..1600 {
            next = asm.branch(EQUAL, k, Target::Return(k), next);
        }
        let entry = asm.branch(GREATER, 999, next, far);
        let entry = asm.load(0, entry);
        let program = asm.finish(entry);
        for (number, wanted) in [(7, 70), (8, 71), (1000, 1000), (1599, 1599), (1600, 0)] {
            let question = Question { number, audit: 0, args: [0; 6], big_endian: false };
            assert_eq!(run(&program, &question), wanted, "{number}");
        }
    }
}
