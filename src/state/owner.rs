//! The name of a container's owner.

/// The user's name from /etc/passwd, or `#UID` when it has none. root's is known without looking.
pub fn name(uid: u32) -> String {
    if uid == 0 {
        return "root".to_owned();
    }
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    find(&String::from_utf8_lossy(&passwd), uid).unwrap_or_else(|| format!("#{uid}"))
}

fn find(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_third_field() {
        let passwd = "root:x:0:0::/:\nbroken\nalice:x:1000:1001::/home/alice:/bin/sh\n";
        assert_eq!(find(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(find(passwd, 1001), None);
        assert_eq!(name(0), "root");
        assert_eq!(name(4_294_967_294), "#4294967294");
    }
}
