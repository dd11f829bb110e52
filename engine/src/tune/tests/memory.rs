//! Memory, limits and the region.

use super::Status::{Costs, Good, Unknown};
use super::{check, expect, target};

#[test]
fn huge_pages() {
    let dir = "/sys/kernel/mm/transparent_hugepage";
    let (enabled, defrag, daemon) = (
        format!("{dir}/enabled"),
        format!("{dir}/defrag"),
        format!("{dir}/khugepaged/defrag"),
    );
    let row = |on: &'static str, eager: &'static str| [(&*enabled, on), (&*defrag, eager), (&*daemon, "1")];
    let (asked, both) = (&["enabled=madvise"][..], &["enabled=madvise", "defrag=madvise"][..]);
    check(
        "huge_pages",
        &[
            (
                &row("always madvise [never]", "[always] defer never"),
                Good,
                "no transparent",
                &[],
            ),
            (
                &row("always [madvise] never", "always [madvise] never"),
                Good,
                "who asks",
                &[],
            ),
            (
                &row("always [madvise] never", "[always] madvise"),
                Costs,
                "waits until",
                &["defrag=madvise"],
            ),
            (
                &row("[always] madvise never", "always [defer]"),
                Costs,
                "every mapping",
                asked,
            ),
            (
                &row("[always] madvise never", "[always] defer"),
                Costs,
                "every mapping",
                both,
            ),
            (&row("always", "[always]"), Unknown, "in brackets", &[]),
            (
                &row("[sometimes]", "[always]"),
                Unknown,
                "is not always, madvise or never",
                &[],
            ),
        ],
    );
}

#[test]
fn swap() {
    const HEAD: &str = "Filename\tType\tSize\tUsed\tPriority";
    let (file, swappiness) = ("/proc/swaps", "/proc/sys/vm/swappiness");
    let area = format!("{HEAD}\n/dev/sda2 partition 8388604 0 -2");
    check(
        "swap",
        &[
            (&[(file, HEAD)], Good, "nothing to swap", &[]),
            (
                &[(file, &area), (swappiness, "60")],
                Costs,
                "may be swapped out",
                &["swappiness=1"],
            ),
            (&[(file, &area), (swappiness, "1")], Good, "no other way", &[]),
            (&[(file, &area), (swappiness, "much")], Unknown, "is not a number", &[]),
            (&[(file, &area)], Unknown, "swappiness is not there", &[]),
            (&[(file, "/dev/sda2")], Unknown, "is not a table", &[]),
        ],
    );
}

#[test]
fn numa_balancing() {
    let (file, nodes) = ("/proc/sys/kernel/numa_balancing", "/sys/devices/system/node/online");
    check(
        "numa_balancing",
        &[
            (&[(file, "0"), (nodes, "0-1")], Good, "stay on the node", &[]),
            (&[(file, "1"), (nodes, "0")], Good, "only one node", &[]),
            (
                &[(file, "1"), (nodes, "0-1")],
                Costs,
                "moved between nodes",
                &["numa_balancing=0"],
            ),
            (&[(file, "maybe"), (nodes, "0")], Unknown, "is not a number", &[]),
            (&[(file, "1")], Unknown, "is not there", &[]),
        ],
    );
}

#[test]
fn limits() {
    let table = |locked: &str, files: &str| {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     
Max open files            {files}                20000                files     
Max locked memory         {locked}              unlimited              bytes     
Max realtime priority     0                    0                    "
        )
    };
    let (file, status) = ("/proc/self/limits", "/proc/self/status");
    let (plain, root) = (
        (status, "CapEff:\t0000000000000000"),
        (status, "CapEff:\t000001fffeffffff"),
    );
    let (good, locked, few) = (
        table("unlimited", "1024"),
        table("65536", "1024"),
        table("unlimited", "3"),
    );
    let (words, short) = (table("much", "1024"), "Max open files 3".to_owned());
    check(
        "limits",
        &[
            (&[(file, &good)], Good, "as the engine needs", &[]),
            (&[(file, &locked), plain], Costs, "cannot be locked", &[]),
            // Who may lock memory by capability is held by no limit.
            (&[(file, &locked), root], Good, "as the engine needs", &[]),
            (&[(file, &locked), (status, "CapEff: all")], Unknown, "line CapEff", &[]),
            (&[(file, &few)], Costs, "more than is allowed", &[]),
            (&[(file, &words)], Unknown, "is not a table of numbers", &[]),
            (&[(file, &short)], Unknown, "a line for each limit", &[]),
        ],
    );
    let mut unlocked = target("1");
    unlocked.locks_memory = false;
    expect(
        "limits",
        &unlocked,
        &(&[(file, &locked), plain], Good, "as the engine needs", &[]),
    );
}

#[test]
fn region() {
    let mounts = "/proc/self/mountinfo";
    let on = |kind: &str| format!("25 24 0:23 / /dev/shm rw,relatime - {kind} none rw");
    check(
        "region",
        &[
            (&[(mounts, &on("tmpfs"))], Good, "is on tmpfs", &[]),
            (&[(mounts, &on("ext4"))], Costs, "writes back to a disk", &[]),
            (&[(mounts, "nothing")], Unknown, "is not a table of mounts", &[]),
        ],
    );
    let mut huge = target("1");
    huge.region_bytes = u64::MAX;
    expect(
        "region",
        &huge,
        &(
            &[(mounts, &on("tmpfs"))],
            Costs,
            "MiB free, and the shared files need",
            &[],
        ),
    );
}
