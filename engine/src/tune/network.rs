//! The network card: whether the hot thread may poll it, and whether it is near.

use super::{Host, Seen, Target, Unread, Verdict};

/// What the kernel's documentation recommends for `busy_read`, and for `busy_poll` with several sockets.
const BUSY_POLL_US: &str = "50";

pub(super) fn busy_poll(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    let read = host.read("/proc/sys/net/core/busy_read")?;
    let poll = host.read("/proc/sys/net/core/busy_poll")?;
    let (read_us, poll_us): (u32, u32) = (read.number()?, poll.number()?);
    let seen = [read.clone(), poll.clone()];
    let feeds_ask = target.feed_count > 0 && target.busy_poll_count == target.feed_count;
    if feeds_ask {
        return Ok(Verdict::good("every feed asks for busy polling by itself (busy_poll_us)").seen(seen));
    }
    if read_us > 0 && poll_us > 0 {
        return Ok(Verdict::good("sockets are polled by who reads them").seen(seen));
    }
    let mut verdict = Verdict::costs(
        "sockets are not polled by who reads them",
        "a message waits for the network card's interrupt and for the soft interrupt behind it",
    )
    .seen(seen)
    .by_hand("or only for the engine: busy_poll_us in each [[feed]]");
    for (seen, us) in [(&read, read_us), (&poll, poll_us)] {
        if us == 0 {
            verdict = verdict.sysctl(seen, BUSY_POLL_US);
        }
    }
    Ok(verdict)
}

/// The memory node of a processor: its directory has a link to it.
fn node_of(host: &Host, cpu: usize) -> Result<usize, Unread> {
    let dir = format!("/sys/devices/system/cpu/cpu{cpu}");
    let nodes = host.numbers(&dir, "node")?;
    let none = || Unread::Unasked(format!("{dir} does not say which node the core belongs to"));
    nodes.first().copied().ok_or_else(none)
}

pub(super) fn card_node(host: &Host, target: &Target) -> Result<Verdict, Unread> {
    const NET: &str = "/sys/class/net";
    let hot = target.hot()?;
    let nodes = host.read("/sys/devices/system/node/online")?;
    if nodes.cpus()?.iter().count() == 1 {
        return Ok(Verdict::good("there is only one node").seen([nodes]));
    }
    let hot_nodes: Vec<usize> = hot.iter().map(|cpu| node_of(host, cpu)).collect::<Result<_, _>>()?;
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for name in host.list(NET)? {
        // Loopback, bridges and the like are no devices.
        let Some(node) = host.read_if_there(&format!("{NET}/{name}/device/numa_node"))? else {
            continue;
        };
        let is_up = host.read(&format!("{NET}/{name}/operstate"))?.value == "up";
        let number: i64 = node.number()?;
        // -1: the firmware does not say.
        let (true, Ok(number)) = (is_up, usize::try_from(number)) else {
            continue;
        };
        let is_near = hot_nodes.iter().all(|hot| *hot == number);
        if is_near { &mut near } else { &mut far }.push((name, number, node));
    }
    let on = hot_nodes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let seen = |cards: &[(String, usize, Seen)]| cards.iter().map(|(.., seen)| seen.clone()).collect::<Vec<_>>();
    match (near.first(), far.first()) {
        (None, None) => Err(Unread::Unasked(format!(
            "no network card below {NET} that is up says which node it is at"
        ))),
        (Some((card, ..)), _) => Ok(Verdict::good(format!(
            "{card} is at the hot core's node, {on}: see that the feeds come by it"
        ))
        .seen(seen(&near))),
        (None, Some((card, node, _))) => Ok(Verdict::costs(
            format!("{card} is at node {node}, core {hot} at {on}"),
            "what the card brings crosses from one node's memory to the other's",
        )
        .by_hand(format!(
            "choose a hot core of /sys/devices/system/node/node{node}/cpulist"
        ))
        .seen(seen(&far))),
    }
}
