//! libseccomp as the judge: both filters are run over numbers and arguments, and must agree.
//!
//! Differences that are decisions of ours (docs/seccomp.md) are applied to libseccomp's answer, one by one and by
//! name, in [`Judge::expect`]; everything else is a failure. `RT_SECCOMP_PROFILES` is the number of random
//! profiles; 9000 make 23 million samples, and not much later libseccomp loops for ever: more are not tried.

use std::collections::{HashMap, HashSet};

use libseccomp::ScmpSyscall;
use oci_spec::runtime::{Arch, LinuxSeccomp};

use super::action::{ENOSYS, ERRNO, describe};
use super::arch::{ARCHITECTURES, Architecture, X32_BIT};
use super::bpf::tests::{Question, run, run_seen};
use super::model::Model;
use super::random::{Random, combinations, interesting, random_profile};
use super::syscalls::{Call, name_of};
use super::theirs::{libseccomp_filter, scmp_arch, stale_comparisons, value_of};
use super::{SockFilter, tests};

/// The architectures that the installed libseccomp has.
fn judged() -> Vec<&'static Architecture> {
    ARCHITECTURES.iter().filter(|arch| scmp_arch(arch.arch).is_some()).collect()
}

/// The judge of one profile.
struct Judge<'a> {
    profile: &'a LinuxSeccomp,
    default: u32,
    ours: Vec<SockFilter>,
    theirs: Vec<SockFilter>,
    /// Instructions of theirs that compare the wrong thing.
    stale: Vec<bool>,
    arches: &'a [&'static Architecture],
}

/// What was compared.
#[derive(Default)]
struct Tally {
    samples: u64,
    /// By decision of docs/seccomp.md: newer than the profile, version bits of a multiplexer.
    enosys: u64,
    multiplexer: u64,
    /// libseccomp compared what an earlier instruction had left in the accumulator; the model agrees with us.
    stale: u64,
    /// Several rules hold, and libseccomp took another one.
    order: u64,
    /// By decision: a rule with conditions for a call that a multiplexer hides. The model agrees with us.
    hidden: u64,
    /// libseccomp mixed two rules up; the model agrees with us.
    mixed: u64,
    /// Profiles that libseccomp refuses for rules that contradict each other.
    refused: u64,
}

impl<'a> Judge<'a> {
    fn new(profile: &'a LinuxSeccomp, arches: &'a [&'static Architecture]) -> Option<Self> {
        let tokens: Vec<Arch> = arches.iter().map(|arch| arch.arch).collect();
        let theirs = libseccomp_filter(profile, &tokens)?;
        let default = value_of(profile.default_action(), profile.default_errno_ret());
        let ours = tests::plan(profile, &tokens).program;
        let stale = stale_comparisons(&theirs, arches.iter().map(|arch| arch.audit()).collect());
        Some(Self { profile, default, ours, theirs, stale, arches })
    }

    /// Every number and its neighbourhood, every interesting argument.
    fn compare(&self, arch: &'static Architecture, random: &mut Random, tally: &mut Tally) {
        let facts = Facts::gather(self.profile, arch);
        for number in numbers(arch) {
            // x32's numbers are looked at as x32, if the profile has it.
            let twin = self.arches.iter().any(|other| other.audit() == arch.audit() && other.arch != arch.arch);
            if twin && (number >= X32_BIT) != (arch.base == X32_BIT) {
                continue;
            }
            let empty = Vec::new();
            let vectors = facts.vectors.get(&number).unwrap_or(&empty);
            let anything = [[0; 6], std::array::from_fn(|_| random.next())];
            for args in anything.iter().chain(vectors) {
                self.sample(arch, number, *args, &facts, tally);
            }
        }
    }

    fn sample(&self, arch: &Architecture, number: u32, args: [u64; 6], facts: &Facts, tally: &mut Tally) {
        let question = Question { number, audit: arch.audit(), args, big_endian: arch.big_endian };
        let ours = run(&self.ours, &question);
        tally.samples += 1;
        let foreign_half = (number >= X32_BIT) != (arch.base == X32_BIT) && arch.audit() == 0xc000_003e;
        if !(foreign_half && number != u32::MAX) {
            let wanted = facts.model.answer(number, &args);
            assert!(ours == wanted, "{}", self.disagreement(arch, &question, ours, "the model", wanted));
        }
        // libseccomp 2.5 has names up to Linux 5.17.
        if facts.newer_than_libseccomp.contains(&number) {
            return;
        }
        let (wanted, stale) = self.expect(&question, facts, tally);
        if ours != wanted && stale {
            tally.stale += 1;
            return;
        }
        if ours != wanted && facts.model.candidates(number, &args).contains(&wanted) {
            tally.order += 1;
            return;
        }
        let is_multiplexer = facts.multiplexers.iter().any(|(multiplexer, _)| *multiplexer == number);
        if ours != wanted && is_multiplexer && facts.hides_conditions {
            tally.hidden += 1;
            return;
        }
        if ours != wanted && facts.model.libseccomp_mixes(number) {
            tally.mixed += 1;
            return;
        }
        assert!(ours == wanted, "{}", self.disagreement(arch, &question, ours, "libseccomp", wanted));
    }

    fn disagreement(&self, arch: &Architecture, question: &Question, ours: u32, who: &str, theirs: u32) -> String {
        let number = question.number;
        format!(
            "{} of {:?}: {number} ({:?}) {:x?}: ours {}, {who} {}\n{}",
            arch.name,
            self.arches.iter().map(|arch| arch.name).collect::<Vec<_>>(),
            name_of(arch.column, number.wrapping_sub(arch.base)),
            question.args,
            describe(ours),
            describe(theirs),
            serde_json::to_string(self.profile).expect("a profile is JSON"),
        )
    }

    /// libseccomp's answer with our decisions, and whether it compared the wrong thing on its way.
    fn expect(&self, question: &Question, facts: &Facts, tally: &mut Tally) -> (u32, bool) {
        let mut question = *question;
        if let Some((_, mask)) = facts.multiplexers.iter().find(|(number, _)| *number == question.number) {
            // Decision: a multiplexer's first argument counts as the kernel reads it.
            tally.multiplexer += u64::from(question.args[0] & mask != question.args[0]);
            question.args[0] &= mask;
        }
        let mut stale = false;
        let theirs = run_seen(&self.theirs, &question, |at| stale |= self.stale[at]);
        // Decision: calls newer than the profile do not exist.
        let newer = theirs == self.default && facts.model.answer(question.number, &question.args) == ERRNO | ENOSYS;
        if newer && facts.model.is_unnamed(question.number) {
            tally.enosys += 1;
            return (ERRNO | ENOSYS, stale);
        }
        (theirs, stale)
    }
}

/// What the judge knows of a profile on an architecture.
struct Facts {
    model: Model,
    /// Number and mask of the first argument.
    multiplexers: Vec<(u32, u64)>,
    /// Arguments worth trying, by number.
    vectors: HashMap<u32, Vec<[u64; 6]>>,
    /// Some rule compares the arguments of a call that a multiplexer hides: libseccomp compares the multiplexer's own.
    hides_conditions: bool,
    /// Numbers that the installed libseccomp has no name for, and we have.
    newer_than_libseccomp: HashSet<u32>,
}

impl Facts {
    fn gather(profile: &LinuxSeccomp, arch: &'static Architecture) -> Self {
        let mut random = Random(0x5eed);
        let scmp = scmp_arch(arch.arch);
        let unknown =
            |number: &u32| scmp.is_some_and(|scmp| ScmpSyscall::from(*number as i32).get_name_by_arch(scmp).is_err());
        let newer_than_libseccomp = Call::all().filter_map(|call| arch.number(call)).filter(unknown).collect();
        let number = |name: &str| arch.number(Call::find(name)?);
        let masks = [("socketcall", 0xffff_ffff), ("ipc", 0xffff)].into_iter().filter(|_| arch.multiplexes);
        let multiplexers: Vec<_> = masks.filter_map(|(name, mask)| Some((number(name)?, mask))).collect();
        let mut values: HashMap<u32, Vec<HashSet<u64>>> = HashMap::new();
        for syscall in profile.syscalls().iter().flatten() {
            for number in syscall.names().iter().filter_map(|name| number(name)) {
                for arg in syscall.args().iter().flatten() {
                    let set = values.entry(number).or_insert_with(|| vec![HashSet::new(); 6]);
                    set[arg.index()].extend(interesting(arg, &mut random));
                }
            }
        }
        let mut vectors: HashMap<_, _> =
            values.iter().map(|(number, sets)| (*number, combinations(sets, &mut random))).collect();
        for (number, mask) in &multiplexers {
            let calls = (0..32u64).flat_map(|call| [call, call | (mask + 1), call | 1 << 40]);
            vectors.insert(*number, calls.map(|call| [call, 7, 7, 7, 7, 7]).collect());
        }
        let hides_conditions = profile.syscalls().iter().flatten().any(|syscall| {
            let mut calls = syscall.names().iter().filter_map(|name| Call::find(name));
            !syscall.args().as_deref().unwrap_or_default().is_empty() && calls.any(|call| call.multiplexed().is_some())
        });
        let model = Model::new(profile, arch);
        Self { model, multiplexers, vectors, hides_conditions, newer_than_libseccomp }
    }
}

/// Every number that the architecture could mean, and the corners.
fn numbers(arch: &Architecture) -> Vec<u32> {
    let mut list = vec![
        0x000e_ffff,
        0x0010_0000,
        0x3fff_ffff,
        0x4000_0000,
        0x4000_0220,
        0x4000_0fff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
    ];
    list.extend(0..4);
    list.extend(arch.base.saturating_sub(4)..arch.base + 640);
    list.extend(0xf_0000..0xf_0010);
    list
}

/// One to three architectures of one byte order: libseccomp cannot mix them.
fn random_arches(random: &mut Random) -> Vec<&'static Architecture> {
    let judged = judged();
    let first = *random.pick(&judged);
    let mut list = vec![first];
    for _ in 0..random.below(3) {
        let next = *random.pick(&judged);
        if next.big_endian == first.big_endian && !list.iter().any(|known| known.arch == next.arch) {
            list.push(next);
        }
    }
    list
}

fn judge(profile: &LinuxSeccomp, arches: &[&'static Architecture], random: &mut Random, tally: &mut Tally) {
    let Some(judge) = Judge::new(profile, arches) else {
        tally.refused += 1;
        return;
    };
    for arch in arches {
        judge.compare(arch, random, tally);
    }
    // An architecture that the profile does not list.
    if let Some(other) = judged().iter().find(|arch| !arches.iter().any(|known| known.audit() == arch.audit())) {
        for number in [0, 1, 40, other.base + 5] {
            let question = Question { number, audit: other.audit(), args: [0; 6], big_endian: other.big_endian };
            assert_eq!(run(&judge.ours, &question), run(&judge.theirs, &question), "{}", other.name);
            tally.samples += 1;
        }
    }
}

#[test]
fn the_table_of_numbers_agrees_with_libseccomp() {
    for arch in judged() {
        let scmp = scmp_arch(arch.arch).expect("judged");
        for number in 0..700 {
            let theirs = ScmpSyscall::from((arch.base + number) as i32).get_name_by_arch(scmp).ok();
            let ours = name_of(arch.column, number);
            if let Some(theirs) = theirs {
                assert_eq!(ours, Some(theirs.as_str()), "{} {number}", arch.name);
            }
        }
    }
}

#[test]
fn docker_and_podman_mean_the_same_as_with_libseccomp() {
    let mut tally = Tally::default();
    let mut random = Random(1);
    for profile in [tests::docker(), tests::podman()] {
        for arch in judged() {
            judge(&profile, &[arch], &mut random, &mut tally);
        }
        for arches in [["x86_64", "x86", "x32"], ["aarch64", "arm", "arm"], ["mips64", "mips", "mips64n32"]] {
            let mut list: Vec<_> = arches.iter().map(|name| tests::arch(name)).collect();
            list.dedup_by_key(|arch| arch.name);
            judge(&profile, &list, &mut random, &mut tally);
        }
    }
    assert_eq!(tally.refused, 0);
    println!("{} samples, 0 differences", tally.samples);
}

/// Every operator at the edges of both halves, masks, several rules for a call, each action, each kind of default.
#[test]
fn profiles_by_hand_mean_the_same_as_with_libseccomp() {
    const EDGES: [u64; 9] =
        [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 1 << 63, u64::MAX];
    const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let arg = |index: u32, operator: &str, value: u64, datum: u64| serde_json::json!({ "index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": datum });
    let rule = |names: &[&str], action: &str, args: Vec<serde_json::Value>| serde_json::json!({ "names": names, "action": format!("SCMP_ACT_{action}"), "args": args });
    let mut profiles = Vec::new();
    for default in ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE", "LOG"] {
        let other = if default == "ALLOW" { "ERRNO" } else { "ALLOW" };
        let mut rules = vec![
            // Docker's, podman's and systemd's: clone without namespaces, personalities, socket families, ioctls.
            rule(&["clone"], other, vec![arg(0, "MASKED_EQ", 0x7e02_0000, 0)]),
            rule(&["socket"], other, vec![arg(0, "EQ", 1, 0)]),
            rule(&["socket"], other, vec![arg(0, "EQ", 2, 0), arg(1, "MASKED_EQ", 0xf, 2)]),
            rule(&["ioctl"], "NOTIFY", vec![arg(1, "EQ", 0x5412, 0)]),
            rule(&["read", "write", "close"], other, vec![]),
            rule(&["mount", "umount2"], "KILL_PROCESS", vec![]),
            rule(&["ptrace", "keyctl", "bpf"], "NOTIFY", vec![]),
        ];
        rules.extend(
            [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff]
                .map(|domain| rule(&["personality"], other, vec![arg(0, "EQ", domain, 0)])),
        );
        profiles.push((default, rules));
    }
    for (at, operator) in OPERATORS.iter().enumerate() {
        for edge in EDGES {
            let args = vec![arg(at as u32 % 6, operator, edge, edge & 0x8000_0001_0000_0001)];
            profiles.push(("ALLOW", vec![rule(&["lseek", "prctl"], "ERRNO", args)]));
        }
    }
    let mut tally = Tally::default();
    let mut random = Random(3);
    for (default, rules) in &profiles {
        let action = format!("SCMP_ACT_{default}");
        let profile = serde_json::json!({ "defaultAction": action, "listenerPath": "/agent", "syscalls": rules });
        let profile: LinuxSeccomp = serde_json::from_value(profile).expect("a profile");
        for arches in [&["x86_64", "x86", "x32"][..], &["aarch64", "arm"], &["s390x"], &["mips64", "mips"]] {
            let list: Vec<_> = arches.iter().map(|name| tests::arch(name)).collect();
            judge(&profile, &list, &mut random, &mut tally);
        }
    }
    assert_eq!(tally.refused, 0);
    let Tally { samples, enosys, multiplexer, hidden, order, stale, mixed, .. } = tally;
    println!(
        "{} profiles by hand, {samples} samples, 0 differences; decided otherwise: {enosys} newer than the profile, \
         {multiplexer} multiplexed with bits that the kernel ignores, {hidden} multiplexed with conditions, {order} where \
         several rules hold; bugs of libseccomp: {stale} a stale accumulator, {mixed} two rules mixed up",
        profiles.len()
    );
}

/// libseccomp loops for ever not far behind.
const MANY_PROFILES: u64 = 9000;

#[test]
fn random_profiles_mean_the_same_as_with_libseccomp() {
    let count = std::env::var("RT_SECCOMP_PROFILES").map_or(60, |text| text.parse().expect("a number"));
    let count: u64 = count.min(MANY_PROFILES);
    let mut tally = Tally::default();
    for seed in 1..=count {
        let mut random = Random(seed * 0x9e37_79b9);
        let profile = random_profile(&mut random, seed % 2 == 0);
        judge(&profile, &random_arches(&mut random), &mut random, &mut tally);
    }
    let Tally { samples, enosys, multiplexer, order, stale, mixed, refused, hidden } = tally;
    assert_eq!(hidden, 0, "random profiles have no such rules");
    println!(
        "{count} profiles ({refused} refused by libseccomp), {samples} samples, 0 differences; decided otherwise: \
         {enosys} newer than the profile, {multiplexer} multiplexed with bits that the kernel ignores, {order} where \
         several rules hold; bugs of libseccomp: {stale} a stale accumulator, {mixed} two rules mixed up"
    );
}

#[test]
fn architectures_that_libseccomp_lacks_mean_what_the_model_says() {
    let mut random = Random(7);
    let mut samples = 0;
    for arch in ARCHITECTURES.iter().filter(|arch| scmp_arch(arch.arch).is_none()) {
        let random_profiles = (0..8).map(|seed| random_profile(&mut Random(77 + seed), true));
        for profile in [tests::docker(), tests::podman()].into_iter().chain(random_profiles) {
            let ours = tests::plan(&profile, &[arch.arch]).program;
            let facts = Facts::gather(&profile, arch);
            for number in numbers(arch) {
                for args in facts.vectors.get(&number).into_iter().flatten().chain([&[random.next(); 6]]) {
                    let question = Question { number, audit: arch.audit(), args: *args, big_endian: arch.big_endian };
                    let (ours, wanted) = (run(&ours, &question), facts.model.answer(number, args));
                    assert_eq!(ours, wanted, "{} {number} {args:x?}", arch.name);
                    samples += 1;
                }
            }
        }
    }
    println!("{samples} samples, 0 differences");
}
