//! Protection of the process's memory, for programs that hold passwords and private keys.
//! Both programs call it at their start.

/// Hides this process's memory and environment from other programs of the same user. The process leaves no core file,
/// no debugger can attach to it, and its sensitive files in `/proc` belong to root. If the system refuses, the process
/// runs without the protection.
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
