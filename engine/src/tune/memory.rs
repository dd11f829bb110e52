//! Memory: huge pages behind one's back, swap, nodes, limits, and where the shared files lie.

use super::{Host, Seen, Target, Unread, Verdict};

pub(super) fn huge_pages(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    const DIR: &str = "/sys/kernel/mm/transparent_hugepage";
    let enabled = host.read(&format!("{DIR}/enabled"))?;
    let defrag = host.read(&format!("{DIR}/defrag"))?;
    let khugepaged = host.read(&format!("{DIR}/khugepaged/defrag"))?;
    let (is_on, is_eager) = (enabled.chosen()?, defrag.chosen()?);
    khugepaged.number::<u8>()?;
    let seen = [enabled.clone(), defrag.clone(), khugepaged];
    let costs = "a page fault clears, and may first have to gather, two MiB; khugepaged holds the memory map while it collapses pages";
    let says = match (is_on, is_eager) {
        ("never", _) => return Ok(Verdict::good("no transparent huge pages").seen(seen)),
        ("madvise", "always") => "who asks for a huge page waits until memory has been gathered for it",
        ("madvise", _) => return Ok(Verdict::good("huge pages only for who asks").seen(seen)),
        ("always", _) => "every mapping may get huge pages, whether it asked or not",
        _ => return Err(enabled.is_not("always, madvise or never")),
    };
    let mut verdict = Verdict::costs(says, costs).seen(seen);
    if is_on == "always" {
        verdict = verdict.set(&enabled.file, is_on, "madvise");
    }
    if is_eager == "always" {
        verdict = verdict.set(&defrag.file, is_eager, "madvise");
    }
    Ok(verdict.at_boot("transparent_hugepage=madvise on the kernel's command line"))
}

pub(super) fn swap(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let swaps = host.read("/proc/swaps")?;
    let mut lines = swaps.value.lines();
    if !lines.next().is_some_and(|head| head.starts_with("Filename")) {
        return Err(swaps.is_not("a table that begins with Filename"));
    }
    let areas: Vec<&str> = lines.filter_map(|line| line.split_ascii_whitespace().next()).collect();
    if areas.is_empty() {
        return Ok(Verdict::good("nothing to swap to").seen([Seen::new(&swaps.file, "no swap area")]));
    }
    let swappiness = host.read("/proc/sys/vm/swappiness")?;
    let seen = [Seen::new(&swaps.file, areas.join(" ")), swappiness.clone()];
    if swappiness.number::<u8>()? <= SWAPPINESS_LEAST {
        return Ok(Verdict::good("memory is swapped out only where there is no other way").seen(seen));
    }
    let says = match target.locks_memory {
        true => "memory may be swapped out where it cannot be locked (see limits)",
        false => "memory may be swapped out, and engine.lock_memory is off",
    };
    Ok(Verdict::costs(
        says,
        "a page that has gone out comes back from a disk while the hot thread waits",
    )
    .seen(seen)
    .sysctl(&swappiness, &SWAPPINESS_LEAST.to_string())
    .by_hand("swapoff -a, where the host has memory enough")
    .at_boot("no swap in /etc/fstab"))
}

/// 0 would rather end a process than swap.
const SWAPPINESS_LEAST: u8 = 1;

pub(super) fn numa_balancing(host: &Host, _target: &Target) -> Result<Verdict, Unread> {
    let seen = host.read("/proc/sys/kernel/numa_balancing")?;
    let is_on = seen.number::<u8>()? != 0;
    let nodes = host.read("/sys/devices/system/node/online")?;
    let node_count = nodes.cpus()?.iter().count();
    Ok(match (is_on, node_count) {
        (false, _) => Verdict::good("pages stay on the node where they are"),
        (true, 1) => Verdict::good("on, but there is only one node"),
        (true, _) => Verdict::costs(
            "pages are moved between nodes after where they are used",
            "it takes pages away for a while to see who faults on them: the hot thread is who faults",
        )
        .sysctl(&seen, "0"),
    }
    .seen([seen, nodes]))
}

const LIMITS: &str = "/proc/self/limits";
/// How often a feed can have a socket open: two lines, and each may be changing to its successor.
const SOCKETS_PER_FEED: usize = 4;

/// Whether this command, and so what else its user starts, has CAP_IPC_LOCK, for which no limit holds.
fn may_lock_anyway(host: &Host) -> Result<bool, Unread> {
    const CAP_IPC_LOCK: u32 = 14;
    let status = host.read("/proc/self/status")?;
    let line = status.value.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let set = set.ok_or_else(|| status.is_not("a status with a line CapEff"))?;
    Ok(set & (1 << CAP_IPC_LOCK) != 0)
}

pub(super) fn limits(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let file = host.read(LIMITS)?;
    let limit = |name: &str| {
        let line = file.value.lines().find_map(|line| line.strip_prefix(name));
        let soft = line.and_then(|rest| rest.split_ascii_whitespace().next());
        let soft = soft.ok_or_else(|| file.is_not("a table with a line for each limit"))?;
        let value = match soft {
            "unlimited" => u64::MAX,
            digits => digits.parse().map_err(|_| file.is_not("a table of numbers"))?,
        };
        Ok::<_, Unread>((value, Seen::new(LIMITS, format!("{name} {soft}"))))
    };
    let (locked, locked_seen) = limit("Max locked memory")?;
    let (files, files_seen) = limit("Max open files")?;
    let (_, priority_seen) = limit("Max realtime priority")?;
    // This command has a few files open, as the engine has beside its sockets.
    let own_files = host.list("/proc/self/fd").map_or(0, |names| names.len());
    let files_needed = own_files + target.feed_count * SOCKETS_PER_FEED;
    let seen = [locked_seen, files_seen, priority_seen];
    if target.locks_memory && locked != u64::MAX && !may_lock_anyway(host)? {
        return Ok(Verdict::costs(
            "memory cannot be locked as a whole by what this shell starts; a service has limits of its own",
            "pages may be taken from the engine, and the hot thread waits when it touches one again",
        )
        .by_hand("ulimit -l unlimited, in the shell that starts the engine")
        .at_boot("LimitMEMLOCK=infinity in the engine's unit")
        .seen(seen));
    }
    if files < files_needed as u64 {
        return Ok(Verdict::costs(
            format!("{files_needed} files may be open at a time, more than is allowed"),
            "a connection that cannot be opened leaves its books stale",
        )
        .by_hand(format!("ulimit -n {files_needed}, in the shell that starts the engine"))
        .at_boot(format!("LimitNOFILE={files_needed} in the engine's unit"))
        .seen(seen));
    }
    Ok(Verdict::good("memory may be locked and sockets opened as the engine needs it").seen(seen))
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// The file system that a directory lies in: `25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw` names the place before the dash,
/// the kind behind it. Of several mounts on one place the last is on top.
fn file_system_of(mounts: &str, dir: &str) -> Option<(String, String)> {
    let mut best: Option<(String, String)> = None;
    for line in mounts.lines() {
        let Some((place, kind)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(place), Some(kind)) = (place.split(' ').nth(4), kind.split(' ').next()) else {
            continue;
        };
        let place = place.replace("\\040", " ");
        let is_above = std::path::Path::new(dir).starts_with(&place);
        if is_above && best.as_ref().is_none_or(|(other, _)| place.len() >= other.len()) {
            best = Some((place, kind.to_owned()));
        }
    }
    best
}

pub(super) fn region(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let dir = target.region_dir.to_string_lossy();
    let mounts = host.read(MOUNTS)?;
    let (place, kind) = file_system_of(&mounts.value, &dir).ok_or_else(|| mounts.is_not("a table of mounts"))?;
    let seen = [Seen::new(MOUNTS, format!("{dir} lies in {kind} at {place}"))];
    if !["tmpfs", "hugetlbfs"].contains(&kind.as_str()) {
        return Ok(Verdict::costs(
            format!("{dir} is on {kind}, which writes back to a disk"),
            "a page that is being written back stops whoever writes to it; the engine refuses such a place, and nobody sees its metrics",
        )
        .by_hand("set region.dir to a directory below /dev/shm")
        .seen(seen));
    }
    let free = host.free_bytes(&dir)?;
    Ok(match free < target.region_bytes {
        false => Verdict::good(format!("{dir} is on {kind}, with {} MiB free", free >> 20)),
        true => Verdict::costs(
            format!(
                "{dir} has {} MiB free, and the shared files need {}",
                free >> 20,
                target.region_bytes.div_ceil(1 << 20)
            ),
            "the engine cannot make its files there: nobody sees its metrics and signals",
        )
        .by_hand(format!(
            "remove what is not needed from {place}, or mount -o remount,size=... {place}"
        )),
    }
    .seen(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_lies_in_the_deepest_and_last_mount_above_it() {
        let mounts = "27 1 254:0 / / rw - ext4 /dev/vda rw
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw
26 24 0:23 / /dev/shm rw,relatime - hugetlbfs none rw
30 27 0:30 / /dev/shm\\040too rw - xfs /dev/vdb rw
nonsense
31 27 - ";
        for (dir, expected) in [
            ("/dev/shm/quantumflow", Some(("/dev/shm", "hugetlbfs"))),
            ("/dev/shmother", Some(("/", "ext4"))),
            ("/dev/shm too/a", Some(("/dev/shm too", "xfs"))),
            ("relative", None),
        ] {
            let found = file_system_of(mounts, dir);
            let expected = expected.map(|(place, kind)| (place.to_owned(), kind.to_owned()));
            assert_eq!(found, expected, "{dir}");
        }
    }
}
