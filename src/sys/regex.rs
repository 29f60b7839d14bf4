//! POSIX extended regular expressions, from the C library.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

/// A compiled expression.
pub struct Regex(libc::regex_t);

impl Regex {
    /// `int regcomp(regex_t *preg, const char *regex, int cflags);` with `REG_EXTENDED`
    /// — <https://man7.org/linux/man-pages/man3/regex.3.html>
    ///
    /// # Errors
    /// What the C library says of the expression.
    pub fn new(pattern: &str) -> Result<Regex, String> {
        let text = CString::new(pattern).map_err(|_| "it holds a NUL".to_owned())?;
        let mut compiled = MaybeUninit::<libc::regex_t>::zeroed();
        // SAFETY: `compiled` has the size of a regex_t, `text` ends with NUL and outlives the call.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), text.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB) };
        if code == 0 {
            // SAFETY: regcomp succeeded, so it has filled it.
            return Ok(Regex(unsafe { compiled.assume_init() }));
        }
        let mut words = [0_u8; 128];
        // SAFETY: regerror writes at most the given number of bytes, the NUL among them, and reads what regcomp left.
        unsafe { libc::regerror(code, compiled.as_ptr(), words.as_mut_ptr().cast(), words.len()) };
        let words = CStr::from_bytes_until_nul(&words).map(CStr::to_string_lossy).unwrap_or_default();
        Err(words.to_lowercase())
    }

    /// `int regexec(const regex_t *preg, const char *string, size_t nmatch, regmatch_t pmatch[], int eflags);`
    /// — <https://man7.org/linux/man-pages/man3/regex.3.html>
    pub fn is_match(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else { return false };
        // SAFETY: the expression is compiled, `text` ends with NUL, and no matches are asked for.
        unsafe { libc::regexec(&raw const self.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0 }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: regcomp filled it, and nobody uses it after this.
        unsafe { libc::regfree(&raw mut self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_as_posix_says() {
        let cases = [
            ("^web-[0-9]+$", "web-17", true),
            ("^web-[0-9]+$", "web-17x", false),
            ("a|b", "xbx", true),
            ("", "anything", true),
            ("^(a.c)$", "abc", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Regex::new(pattern).unwrap().is_match(text), expected, "{pattern} {text}");
        }
        for pattern in ["(", "[", "a{2,1}", "*\0"] {
            assert!(Regex::new(pattern).is_err(), "{pattern:?}");
        }
    }
}
