//! Protection of the process's memory, for programs that hold passwords and private keys.

/// Keeps this process's memory and environment from other programs of the same user: it leaves no core file, no debugger
/// attaches to it, and what `/proc` tells of them is root's. A system that refuses is as safe as it was.
pub fn protect() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
