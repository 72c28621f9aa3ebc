//! Signals of whoever waits.
//!
//! As on a disk, a signal that a process catches comes when the system call is done: whether it is one after which the
//! call is to be repeated can't be seen from here. A signal that ends the process ends the wait.

use libc::c_int;

const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Signals that end no process by themselves.
const HARMLESS: u64 = bit(libc::SIGCHLD)
    | bit(libc::SIGCONT)
    | bit(libc::SIGURG)
    | bit(libc::SIGWINCH)
    | bit(libc::SIGSTOP)
    | bit(libc::SIGTSTP)
    | bit(libc::SIGTTIN)
    | bit(libc::SIGTTOU);

/// Whether a signal that waits for a thread ends its process. Of one that can't be seen it is assumed.
pub(super) fn end(pid: u32) -> bool {
    let status = std::fs::read(format!("/proc/{pid}/status")).ok();
    status.and_then(|status| is_fatal(&String::from_utf8_lossy(&status))).unwrap_or(true)
}

fn is_fatal(status: &str) -> Option<bool> {
    let set = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    let pending = set("SigPnd:")? | set("ShdPnd:")?;
    let held = set("SigBlk:")? | set("SigIgn:")? | set("SigCgt:")? | HARMLESS;
    Some(pending & (bit(libc::SIGKILL) | !held) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, shared: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tcat\nSigQ:\t0/1\nSigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n\
             SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\nCapInh:\t0\n"
        )
    }

    #[test]
    fn only_what_ends_a_process_ends_its_wait() {
        let (term, alarm, child, kill) =
            (bit(libc::SIGTERM), bit(libc::SIGALRM), bit(libc::SIGCHLD), bit(libc::SIGKILL));
        let fatal = |text: &str| is_fatal(text).expect("is read");
        assert!(!fatal(&status(0, 0, 0, 0, 0)), "frozen, or traced");
        assert!(fatal(&status(0, term, 0, 0, 0)) && fatal(&status(term, 0, 0, 0, alarm)));
        assert!(!fatal(&status(0, alarm, 0, 0, alarm)), "caught");
        assert!(fatal(&status(0, alarm | term, 0, 0, alarm)));
        assert!(!fatal(&status(term, 0, term, 0, 0)) && !fatal(&status(0, term, 0, term, 0)));
        assert!(!fatal(&status(0, child | bit(libc::SIGTSTP), 0, 0, 0)));
        assert!(fatal(&status(kill, 0, u64::MAX, 0, 0)));
        assert_eq!(is_fatal("Name:\tcat\n"), None);
        assert!(!end(std::process::id()), "nothing is on its way");
    }
}
