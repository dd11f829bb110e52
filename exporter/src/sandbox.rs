//! Gives up, before the first byte from outside is read, what serving does not need.
//!
//! The process reads bytes of two strangers, the engine's region and the network, and holds a key and passwords. Should
//! one of them take it over, there is to be nothing to gain: it cannot run a program, call out, open a file for writing,
//! or look into another process. `no_new_privs` and two seccomp filters see to that, with two kinds of refusal:
//!
//! - What only an intruder would try (`fatal`) ends the process by SIGSYS. That is loud: the kernel writes the call's
//!   number to its log, and Prometheus sees the target go down. An error code would let the intruder try on in silence.
//! - What is merely not known to be needed fails with ENOSYS, as on an older kernel. The C library and Rust's try newer
//!   calls first and fall back; an update of theirs must not take the monitor down.
//!
//! Landlock is not used. Its rules hold on to directories that exist, and the engine's directory comes and goes with the
//! engine: the exporter would go blind at the first restart. What it could add without such rules, that nothing is
//! written or run, the filters say already.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Why the sandbox could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The filter cannot be made for this processor.
    #[error(
        "failed to build the sandbox for {}; --no-sandbox does without",
        std::env::consts::ARCH
    )]
    Build(#[source] BackendError),
    /// The kernel does not let it in force.
    #[error("the kernel refused the sandbox; --no-sandbox does without")]
    Refused(#[source] seccompiler::Error),
}

/// Enters the sandbox with all threads, for good.
///
/// # Errors
/// A processor or kernel that cannot.
pub fn enter() -> Result<(), SandboxError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(SandboxError::Build)?;
    let enosys = SeccompAction::Errno(libc::ENOSYS as u32);
    let allowed = compile(allowed(), enosys, SeccompAction::Allow, arch)?;
    let fatal = compile(fatal(), SeccompAction::Allow, SeccompAction::KillProcess, arch)?;
    // Of two verdicts the kernel takes the harder one. The fatal ones come first, because setting a filter is no call
    // that the second one allows.
    for program in [&fatal, &allowed] {
        seccompiler::apply_filter_all_threads(program).map_err(SandboxError::Refused)?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(
    rules: Result<Rules, BackendError>,
    otherwise: SeccompAction,
    matched: SeccompAction,
    arch: TargetArch,
) -> Result<BpfProgram, SandboxError> {
    let filter = rules.and_then(|rules| SeccompFilter::new(rules, otherwise, matched, arch));
    filter.and_then(TryInto::try_into).map_err(SandboxError::Build)
}

/// What serving takes: reading files and `/proc`, mapping regions for reading, threads, time, and sockets that are open
/// or accepted.
fn allowed() -> Result<Rules, BackendError> {
    let mut rules = whatever_the_arguments(&[
        // Files, for reading: how they are opened is judged below.
        libc::SYS_close,
        libc::SYS_fcntl,
        libc::SYS_fstat,
        libc::SYS_fstatfs,
        libc::SYS_getcwd,
        libc::SYS_getdents64,
        libc::SYS_lseek,
        libc::SYS_newfstatat,
        libc::SYS_pread64,
        libc::SYS_read,
        libc::SYS_readlinkat,
        libc::SYS_readv,
        libc::SYS_statfs,
        libc::SYS_statx,
        // Sockets.
        libc::SYS_accept4,
        libc::SYS_getpeername,
        libc::SYS_getsockname,
        libc::SYS_getsockopt,
        libc::SYS_ppoll,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_setsockopt,
        libc::SYS_shutdown,
        libc::SYS_write,
        libc::SYS_writev,
        // Memory.
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        // Threads and signals.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_gettid,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_set_robust_list,
        libc::SYS_sigaltstack,
        // Time, chance, and who and where we are.
        libc::SYS_clock_getres,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_getegid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_getrusage,
        libc::SYS_getuid,
        libc::SYS_gettimeofday,
        libc::SYS_nanosleep,
        libc::SYS_sysinfo,
        libc::SYS_uname,
    ]);
    // Older forms, which newer processors never had.
    #[cfg(target_arch = "x86_64")]
    rules.extend(whatever_the_arguments(&[
        libc::SYS_lstat,
        libc::SYS_poll,
        libc::SYS_readlink,
        libc::SYS_stat,
        libc::SYS_time,
    ]));
    // The conditional ones whose other arguments are fatal are refused there.
    rules.extend(whatever_the_arguments(&[
        libc::SYS_clone,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_openat,
    ]));
    let only = [
        (libc::SYS_ioctl, is(1, libc::FIONBIO)),
        // A thread's name; reading limits; a pair for the acceptor's wake-up; ending ourselves.
        (libc::SYS_prctl, is(0, libc::PR_SET_NAME as u64)),
        (
            libc::SYS_prlimit64,
            SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0),
        ),
        (libc::SYS_socketpair, is(0, libc::AF_UNIX as u64)),
        (libc::SYS_tgkill, is(0, u64::from(std::process::id()))),
    ];
    for (call, condition) in only {
        rules.insert(call, vec![SeccompRule::new(vec![condition?])?]);
    }
    Ok(rules)
}

/// What only an intruder would try.
fn fatal() -> Result<Rules, BackendError> {
    let mut rules = whatever_the_arguments(&[
        // Another program, or another process.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_kill,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_open,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
        // A way out.
        libc::SYS_bind,
        libc::SYS_connect,
        libc::SYS_listen,
        libc::SYS_socket,
        // A change to a file.
        libc::SYS_fallocate,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_ftruncate,
        libc::SYS_linkat,
        libc::SYS_memfd_create,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_renameat2,
        libc::SYS_symlinkat,
        libc::SYS_truncate,
        libc::SYS_unlinkat,
        // The system.
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_chroot,
        libc::SYS_finit_module,
        libc::SYS_init_module,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_perf_event_open,
        libc::SYS_pivot_root,
        libc::SYS_setgid,
        libc::SYS_setns,
        libc::SYS_setresgid,
        libc::SYS_setresuid,
        libc::SYS_setuid,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.extend(whatever_the_arguments(&[
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_creat,
        libc::SYS_fork,
        libc::SYS_link,
        libc::SYS_mkdir,
        libc::SYS_mknod,
        libc::SYS_rename,
        libc::SYS_rmdir,
        libc::SYS_symlink,
        libc::SYS_unlink,
        libc::SYS_vfork,
    ]));
    let bits = |argument, mask: libc::c_int, value: libc::c_int| {
        SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask as u64),
            value as u64,
        )
    };
    let any_of = |conditions: Vec<Vec<Result<SeccompCondition, BackendError>>>| {
        let rule = |conditions: Vec<_>| SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?);
        conditions.into_iter().map(rule).collect::<Result<Vec<_>, _>>()
    };
    // A file opened for more than reading.
    let mode = libc::O_ACCMODE;
    let writing = vec![
        vec![bits(2, mode, libc::O_WRONLY)],
        vec![bits(2, mode, libc::O_RDWR)],
        vec![bits(2, libc::O_CREAT, libc::O_CREAT)],
    ];
    rules.insert(libc::SYS_openat, any_of(writing)?);
    // Memory to run, or to write into a file through.
    let (exec, write) = (libc::PROT_EXEC, libc::PROT_WRITE);
    let mapping = vec![
        vec![bits(2, exec, exec)],
        vec![bits(2, write, write), bits(3, libc::MAP_SHARED, libc::MAP_SHARED)],
    ];
    rules.insert(libc::SYS_mmap, any_of(mapping)?);
    rules.insert(libc::SYS_mprotect, any_of(vec![vec![bits(2, exec, exec)]])?);
    // A process instead of a thread. clone3 keeps its flags in memory, where no filter sees them: it is not allowed at
    // all, and the C library falls back on clone.
    rules.insert(libc::SYS_clone, any_of(vec![vec![bits(0, libc::CLONE_THREAD, 0)]])?);
    Ok(rules)
}

fn whatever_the_arguments(calls: &[libc::c_long]) -> Rules {
    calls.iter().map(|&call| (call, Vec::new())).collect()
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}
