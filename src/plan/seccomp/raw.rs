//! A filter that was compiled by somebody else: taken as it is, but for what loading it needs.

use super::action::NOTIFY;
use super::bpf::{MAX_INSTRUCTIONS, RETURN};
use super::{Listener, SeccompFlags, SeccompPlan, SockFilter};

/// BPF_RET | BPF_A: returns what the accumulator holds.
const RETURN_ACCUMULATOR: u16 = 0x16;
/// The size of `struct sock_filter`.
const INSTRUCTION_BYTES: usize = 8;

/// Plans a filter that is written as Base64 of an array of `struct sock_filter`.
///
/// # Errors
/// The reason why it cannot be one; the kernel has the last word when it is loaded.
pub fn plan_raw(base64: &str, listener: Option<Listener>) -> Result<SeccompPlan, String> {
    let bytes = decode(base64)?;
    let (instructions, rest) = bytes.as_chunks::<INSTRUCTION_BYTES>();
    if instructions.is_empty() || !rest.is_empty() {
        let length = bytes.len();
        return Err(format!("has {length} bytes; a filter has {INSTRUCTION_BYTES} for each of its instructions"));
    }
    if instructions.len() > MAX_INSTRUCTIONS {
        let length = instructions.len();
        return Err(format!("has {length} instructions, the kernel takes at most {MAX_INSTRUCTIONS}"));
    }
    let program: Vec<SockFilter> = instructions.iter().map(instruction).collect();
    let asks = program.iter().any(|one| one.code == RETURN && one.k & 0xffff_0000 == NOTIFY);
    let may_ask = program.iter().any(|one| one.code == RETURN_ACCUMULATOR);
    if asks && listener.is_none() {
        return Err("returns SECCOMP_RET_USER_NOTIF, and nothing says to whom: run.oci.seccomp.receiver".to_owned());
    }
    let listener = listener.filter(|_| asks || may_ask);
    let flags = if listener.is_some() { SeccompFlags::NEW_LISTENER } else { SeccompFlags::default() };
    Ok(SeccompPlan { program, flags, listener, obstacles: Vec::new(), warnings: Vec::new() })
}

/// In the machine's byte order, as the kernel reads it.
fn instruction(bytes: &[u8; INSTRUCTION_BYTES]) -> SockFilter {
    let [c0, c1, jt, jf, k0, k1, k2, k3] = *bytes;
    SockFilter { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
}

/// Base64 of RFC 4648, section 4; white space is passed over, padding may be missing.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    let digits = text.trim_end().trim_end_matches('=');
    for character in digits.bytes().filter(|character| !character.is_ascii_whitespace()) {
        let digit = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => return Err(format!("is not Base64: it has {:?}", char::from(other))),
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    if held == 6 { Err("is not Base64: it is cut off".to_owned()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> Option<Listener> {
        Some(Listener { path: "/agent".into(), metadata: None })
    }

    #[test]
    fn base64_is_decoded_as_the_rfc_has_it() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9v\nYmE=\n", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode(text).expect(text), bytes.as_bytes(), "{text}");
        }
        assert_eq!(decode("+/8=").expect("both signs"), [0xfb, 0xff]);
        for text in ["Z", "Zm9vY", "Zm 9v!", "Zg==Zg==", "Zm-v"] {
            assert!(decode(text).expect_err(text).starts_with("is not Base64"), "{text}");
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_filter_is_taken_as_it_is() {
        // RET ALLOW
        let plan = plan_raw("BgAAAAAA/38=", listener()).expect("a filter");
        assert_eq!(plan.program.len(), 1);
        assert_eq!((plan.program[0].code, plan.program[0].k), (0x06, 0x7fff_0000));
        assert_eq!((plan.flags.bits(), plan.listener), (0, None));
        // RET USER_NOTIF
        let plan = plan_raw("BgAAAAAAwH8=", listener()).expect("a filter");
        assert_eq!((plan.flags, plan.listener), (SeccompFlags::NEW_LISTENER, listener()));
        // RET A
        assert_eq!(plan_raw("FgAAAAAAAAA=", listener()).expect("a filter").listener, listener());
        assert_eq!(plan_raw("FgAAAAAAAAA=", None).expect("a filter").flags.bits(), 0);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (text, reason) in [
            ("", "has 0 bytes; a filter has 8 for each of its instructions"),
            ("BgAAAAAA/w==", "has 7 bytes; a filter has 8 for each of its instructions"),
            ("BgAAAAAAwH8=", "returns SECCOMP_RET_USER_NOTIF, and nothing says to whom: run.oci.seccomp.receiver"),
            ("%", "is not Base64: it has '%'"),
        ] {
            assert_eq!(plan_raw(text, None).expect_err(text), reason);
        }
        // 32 digits are 3 instructions.
        let reason = plan_raw(&"A".repeat(32 * 1366), None).err();
        assert_eq!(reason.as_deref(), Some("has 4098 instructions, the kernel takes at most 4096"));
    }
}
