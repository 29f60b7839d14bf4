//! Units of systemd: started with init's pid in them, changed, and stopped, over D-Bus.
//!
//! As root it is systemd's own socket, so that no bus stands in between; for users it is their bus.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;

use super::Unit;
use super::patience::Patience;
use crate::dbus::{Address, Call, CallError, Connection};
use crate::host;
use crate::plan::cgroup::{Manager, Property, ScopePlan, Value};

/// How long systemd may take for one unit. On a crowded machine it has been seen to need more than ten seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

const PRIVATE_SOCKET: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
const NAME: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const OBJECT: &str = "/org/freedesktop/systemd1";

/// A connection to systemd.
#[derive(Debug)]
pub struct Systemd {
    connection: Connection,
    /// Where the user's bus is; none for the machine's systemd.
    pub user_bus: Option<String>,
}

/// How a start ended.
#[derive(Debug)]
pub enum Start {
    /// The unit is active, with init in it.
    Done,
    /// It was not started.
    Refused(anyhow::Error),
    /// Nobody knows.
    Unknown(anyhow::Error),
}

impl Systemd {
    /// Connects to the systemd of the machine or of the user.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn open(manager: Manager) -> anyhow::Result<Systemd> {
        match manager {
            Manager::System => Systemd::open_system(PATIENCE),
            Manager::User => Systemd::open_user(&user_bus()?, PATIENCE),
        }
    }

    pub(super) fn open_of(unit: &Unit, patience: Duration) -> anyhow::Result<Systemd> {
        match &unit.user_bus {
            None => Systemd::open_system(patience),
            Some(address) => Systemd::open_user(address, patience),
        }
    }

    /// Whether it is gone, and not its answer is the error: it may come back.
    pub(super) fn has_hung_up(&self, error: &anyhow::Error) -> bool {
        const AWAY: [&str; 4] = ["NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected"];
        let text = error.to_string();
        self.connection.is_closed()
            || AWAY.iter().any(|name| text.contains(&format!("(org.freedesktop.DBus.Error.{name})")))
    }

    fn open_system(patience: Duration) -> anyhow::Result<Systemd> {
        let mut again = Patience::new(away(patience));
        let private = loop {
            match Connection::open(&Path::new(PRIVATE_SOCKET).into(), patience) {
                // Its socket is there, and it is not: it executes itself anew.
                Err(error) if error.root_cause().downcast_ref() == Some(&Errno::ECONNREFUSED) && again.pause() => {}
                result => break result,
            }
        };
        match private {
            Ok(connection) => Ok(Systemd { connection, user_bus: None }),
            Err(error) => {
                let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok().filter(|address| !address.is_empty());
                let address = address.map_or_else(|| Ok(Path::new(SYSTEM_BUS).into()), |list| Address::parse(&list));
                let bus = address.and_then(|address| Systemd::enter(&address, None, patience));
                bus.map_err(|other| {
                    let [first, second] = [&error, &other].map(crate::log::one_line);
                    anyhow::anyhow!("systemd is not reached: {first}; {second}")
                })
            }
        }
    }

    fn open_user(address: &str, patience: Duration) -> anyhow::Result<Systemd> {
        let enter = || Systemd::enter(&Address::parse(address)?, Some(address.to_owned()), patience);
        enter().context("the user's systemd is not reached")
    }

    /// A bus wants to be greeted, and to be told which signals matter.
    fn enter(address: &Address, user_bus: Option<String>, patience: Duration) -> anyhow::Result<Systemd> {
        let mut systemd = Systemd { connection: Connection::open(address, patience)?, user_bus };
        let rule = format!("type='signal',sender='{NAME}',path='{OBJECT}',interface='{MANAGER}',member='JobRemoved'");
        let add_match = Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "AddMatch",
            arguments: vec![Value::Text(rule)],
        };
        let mut enter = || {
            systemd.connection.hello()?;
            systemd.connection.call(&add_match)
        };
        enter().map_err(anyhow::Error::from).with_context(|| format!("D-Bus at {address}"))?;
        Ok(systemd)
    }

    pub(super) fn call(&mut self, member: &str, arguments: Vec<Value>) -> Result<Vec<String>, CallError> {
        self.connection.call(&Call { destination: NAME, path: OBJECT, interface: MANAGER, member, arguments })
    }

    pub(super) fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<String, CallError> {
        let answer = self.connection.call(&Call {
            destination: NAME,
            path,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            arguments: vec![Value::text(interface), Value::text(name)],
        })?;
        Ok(answer.into_iter().next().unwrap_or_default())
    }

    /// `a(sv)`, without what this systemd is too old for: there the files alone hold the limit.
    fn known(&mut self, properties: &[Property]) -> Result<Value, CallError> {
        let youngest = properties.iter().map(|property| property.since).max().unwrap_or(0);
        let version = if youngest > crate::plan::cgroup::OLDEST_SYSTEMD {
            version_of(&self.property(OBJECT, MANAGER, "Version")?)
        } else {
            u32::MAX
        };
        let known = properties.iter().filter(|property| property.since <= version);
        Ok(list_of(known.map(|property| pair(&property.name, property.value.clone())).collect()))
    }

    /// Starts the unit with the process in it, and waits until that is done.
    pub fn start(&mut self, plan: &ScopePlan, description: &str, pid: i32) -> Start {
        self.connection.renew_deadline();
        let object = || start_of(plan);
        match self.try_start(plan, description, pid) {
            Ok(result) if result == "done" => Start::Done,
            Ok(result) => Start::Unknown(anyhow::anyhow!("{}: the job ended as {result:?}", object())),
            Err(CallError::Lost(error)) => Start::Unknown(error.context(object())),
            Err(refusal) => Start::Refused(anyhow::Error::from(refusal).context(object())),
        }
    }

    fn try_start(&mut self, plan: &ScopePlan, description: &str, pid: i32) -> Result<String, CallError> {
        if plan.is_slice() {
            self.refuse_active(&plan.unit)?;
        }
        let Value::Array(kind, mut properties) = self.known(&plan.properties)? else { return Ok(String::new()) };
        if !plan.has_description() {
            properties.push(pair("Description", Value::text(description)));
        }
        if !plan.is_slice() {
            let pid = Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())]);
            properties.push(pair("PIDs", pid));
        }
        let arguments = vec![
            Value::text(plan.unit.clone()),
            Value::text("replace"),
            Value::Array(kind, properties),
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        let job = match self.call("StartTransientUnit", arguments.clone()) {
            // One that has failed lies around, on a systemd that does not collect it: then it can be reset.
            Err(CallError::Refused { name, text }) if name.ends_with(".UnitExists") => {
                let reset = self.call("ResetFailedUnit", vec![Value::text(plan.unit.clone())]);
                reset.and_then(|_| self.call("StartTransientUnit", arguments)).map_err(|error| match error {
                    CallError::Refused { .. } => CallError::Refused { name, text },
                    lost => lost,
                })?
            }
            result => result?,
        };
        self.wait_for_job(job.first().map_or("", String::as_str)).map_err(CallError::Lost)
    }

    /// A slice that somebody else uses would be started as if it were new, and stopped with all that is in it.
    fn refuse_active(&mut self, unit: &str) -> Result<(), CallError> {
        let path = format!("{OBJECT}/unit/{}", escape_path(unit));
        let state = self.property(&path, "org.freedesktop.systemd1.Unit", "ActiveState")?;
        if state == "inactive" || state == "failed" {
            return Ok(());
        }
        Err(CallError::Refused { name: state, text: "others use this slice already".into() })
    }

    /// Waits for the end of a job; how it ended.
    fn wait_for_job(&mut self, job: &str) -> anyhow::Result<String> {
        self.connection.wait_for_signal("JobRemoved", |texts| match texts {
            [path, _, result] if *path == job => Some((*result).to_owned()),
            _ => None,
        })
    }

    /// Where the cgroup of a slice is, from the root of the hierarchy.
    pub fn slice_directory(&mut self, unit: &str) -> anyhow::Result<PathBuf> {
        let path = format!("{OBJECT}/unit/{}", escape_path(unit));
        let text = self.property(&path, "org.freedesktop.systemd1.Slice", "ControlGroup")?;
        if text.len() < 2 || !text.starts_with('/') {
            bail!("systemd: {unit} has no cgroup");
        }
        Ok(PathBuf::from(&text[1..]))
    }

    /// Changes limits of a running unit.
    ///
    /// # Errors
    /// systemd's refusal.
    pub fn set_properties(&mut self, unit: &str, properties: &[Property]) -> anyhow::Result<()> {
        let properties = self.known(properties)?;
        // At runtime: nothing of it is to outlive the unit.
        let arguments = vec![Value::text(unit), Value::Bool(true), properties];
        self.call("SetUnitProperties", arguments)?;
        // It answers before it writes; by the next answer it has written.
        self.call("GetUnit", vec![Value::text(unit)])?;
        Ok(())
    }

    /// Stops a unit, waits for that, and takes a failure off it; one that is gone is no error.
    pub(super) fn stop(&mut self, unit: &str) -> anyhow::Result<()> {
        match self.call("StopUnit", vec![Value::text(unit), Value::text("replace")]) {
            Ok(job) => {
                let result = self.wait_for_job(job.first().map_or("", String::as_str))?;
                if result != "done" {
                    bail!("the job ended as {result:?}");
                }
            }
            Err(CallError::Refused { name, .. }) if name.ends_with(".NoSuchUnit") => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        match self.call("ResetFailedUnit", vec![Value::text(unit)]) {
            Ok(_) | Err(CallError::Refused { .. }) => Ok(()),
            Err(lost) => Err(lost.into()),
        }
    }

    pub(super) fn attach(&mut self, unit: &str, below: &str, pid: i32) -> Result<(), CallError> {
        let pids = Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())]);
        self.call("AttachProcessesToUnit", vec![Value::text(unit), Value::text(below), pids]).map(drop)
    }
}

/// How long systemd may be away while it executes itself anew.
pub(super) fn away(patience: Duration) -> Duration {
    patience / 3
}

/// `systemd: start rt-c1.scope in system.slice`
pub(super) fn start_of(plan: &ScopePlan) -> String {
    format!("systemd: start {} in {}", plan.unit, plan.slice)
}

fn user_bus() -> anyhow::Result<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable("DBUS_SESSION_BUS_ADDRESS"), host::runtime_directory()) {
        (Some(address), _) => Ok(address),
        (None, Some(directory)) => Ok(format!("unix:path={}/bus", directory.display())),
        (None, None) => bail!(
            "the user's systemd is not reached: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set, and there is \
             no /run/user/{} of theirs (without one, use --cgroup-manager cgroupfs)",
            nix::unistd::geteuid()
        ),
    }
}

/// 257 of `257.9-1~deb13u1` and of `v257`; the newest where it is not understood.
fn version_of(text: &str) -> u32 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(u32::MAX)
}

/// How the name of a unit stands in the path of its object.
pub(super) fn escape_path(unit: &str) -> String {
    let is_plain = |(index, byte): (usize, u8)| byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit());
    unit.bytes()
        .enumerate()
        .map(
            |(index, byte)| if is_plain((index, byte)) { char::from(byte).to_string() } else { format!("_{byte:02x}") },
        )
        .collect()
}

fn pair(name: &str, value: Value) -> Value {
    Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value))])
}

fn list_of(pairs: Vec<Value>) -> Value {
    Value::Array("(sv)".into(), pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbus::fake::{Fake, Script};
    use crate::error::Faults;
    use crate::plan::cgroup::plan_scope;

    fn plan(properties: Vec<Property>) -> ScopePlan {
        let mut faults = Faults::default();
        let mut plan = plan_scope(&oci_spec::runtime::Spec::default(), "c1", Manager::User, &[], &mut faults);
        plan.properties.extend(properties);
        plan
    }

    fn systemd(fake: &Fake) -> Systemd {
        let connection = Connection::open(&fake.address(), Duration::from_millis(300)).unwrap();
        Systemd { connection, user_bus: None }
    }

    fn start(script: impl Fn(&str) -> Vec<Script> + Send + 'static) -> String {
        match systemd(&Fake::start(script)).start(&plan(Vec::new()), "a test", 1) {
            Start::Done => "done".into(),
            Start::Refused(error) => format!("refused: {error:#}"),
            Start::Unknown(error) => format!("unknown: {error:#}"),
        }
    }

    const JOB: Script = Script::Return(&["/job/1"]);
    const OTHER: Script = Script::Signal("JobRemoved", &["/job/2", "rt-c2.scope", "failed"]);
    const DONE: Script = Script::Signal("JobRemoved", &["/job/1", "rt-c1.scope", "done"]);

    #[test]
    fn a_start_waits_for_its_own_job() {
        assert_eq!(start(|_| vec![JOB, OTHER, DONE]), "done");
        // Also where the end is told before the beginning.
        assert_eq!(start(|_| vec![DONE, OTHER, JOB]), "done");
        let failed = Script::Signal("JobRemoved", &["/job/1", "rt-c1.scope", "failed"]);
        let text = start(move |_| vec![JOB, failed]);
        assert_eq!(text, "unknown: systemd: start rt-c1.scope in user.slice: the job ended as \"failed\"");
    }

    #[test]
    fn silence_and_refusal_are_told_with_the_units_name() {
        let begin = "systemd: start rt-c1.scope in user.slice";
        assert_eq!(start(|_| vec![JOB]), format!("unknown: {begin}: no answer within 0.3 s"));
        let text = start(|_| vec![Script::Error("org.freedesktop.DBus.Error.AccessDenied", "Permission denied")]);
        assert_eq!(text, format!("refused: {begin}: Permission denied (org.freedesktop.DBus.Error.AccessDenied)"));
    }

    #[test]
    fn a_unit_that_has_failed_is_reset_and_one_that_runs_is_left_alone() {
        use std::sync::atomic::{AtomicU32, Ordering};
        const EXISTS: Script =
            Script::Error("org.freedesktop.systemd1.UnitExists", "Unit rt-c1.scope was already loaded.");
        let tries = AtomicU32::new(0);
        let after_reset = start(move |member| match member {
            "StartTransientUnit" if tries.fetch_add(1, Ordering::Relaxed) == 0 => vec![EXISTS],
            "StartTransientUnit" => vec![JOB, DONE],
            _ => vec![Script::Return(&[])],
        });
        assert_eq!(after_reset, "done");
        let runs =
            start(|member| if member == "StartTransientUnit" { vec![EXISTS] } else { vec![Script::Return(&[])] });
        let expected = "refused: systemd: start rt-c1.scope in user.slice: Unit rt-c1.scope was already loaded \
                        (org.freedesktop.systemd1.UnitExists)";
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_slice_that_others_use_is_not_taken() {
        let slice = || ScopePlan { unit: "a-b.slice".into(), slice: "a.slice".into(), ..plan(Vec::new()) };
        for (state, expected) in [("active", "active"), ("inactive", "")] {
            let fake = Fake::start(move |member| match (member, state) {
                ("Get", "active") => vec![Script::Return(&["active"])],
                ("Get", _) => vec![Script::Return(&["inactive"])],
                _ => vec![JOB, DONE],
            });
            match systemd(&fake).start(&slice(), "a test", 1) {
                Start::Done => assert_eq!(expected, ""),
                Start::Refused(error) => {
                    let text =
                        format!("systemd: start a-b.slice in a.slice: others use this slice already ({expected})");
                    assert_eq!(format!("{error:#}"), text);
                }
                Start::Unknown(error) => panic!("{error:#}"),
            }
        }
    }

    #[test]
    fn an_older_systemd_is_not_asked_for_what_it_does_not_know() {
        let property = |name: &str, since| Property { name: name.into(), value: Value::U64(1), since, pointer: None };
        let properties = [property("MemoryMax", 239), property("MemoryZSwapMax", 253)];
        for (version, expected) in [("v252.1", 1), ("257.9-1~deb13u1", 2), ("?", 2)] {
            let fake = match version {
                "v252.1" => Fake::start(|_| vec![Script::Return(&["v252.1"])]),
                "?" => Fake::start(|_| vec![Script::Return(&["?"])]),
                _ => Fake::start(|_| vec![Script::Return(&["257.9-1~deb13u1"])]),
            };
            let Ok(Value::Array(_, known)) = systemd(&fake).known(&properties) else { panic!("no list") };
            assert_eq!(known.len(), expected, "{version}");
        }
        assert_eq!((version_of("v252.1"), version_of("257.9-1~deb13u1"), version_of("")), (252, 257, u32::MAX));
    }

    #[test]
    fn a_unit_that_is_gone_is_stopped() {
        let gone = Fake::start(|_| vec![Script::Error("org.freedesktop.systemd1.NoSuchUnit", "Unit not loaded.")]);
        systemd(&gone).stop("x.scope").unwrap();
        let running =
            Fake::start(|member| if member == "StopUnit" { vec![JOB, DONE] } else { vec![Script::Return(&[])] });
        systemd(&running).stop("x.scope").unwrap();
        let denied = Fake::start(|_| vec![Script::Error("a.b.No", "no")]);
        assert!(systemd(&denied).stop("x.scope").is_err());
    }

    #[test]
    fn a_units_object_has_an_escaped_name() {
        assert_eq!(escape_path("a-b_1.slice"), "a_2db_5f1_2eslice");
        assert_eq!(escape_path("1a"), "_31a");
    }
}
