//! Which regions of a directory are shown, and what their engines are called.

use std::collections::HashSet;
use std::sync::Arc;

use super::tracked::Tracked;

/// The regions to show, by their place in `regions` (newest first), each with the engine's name: never two alike.
///
/// The newest region of a service bears the service's name, whatever became of its engine. An older one is shown while
/// its engine holds it, as `service@pid`. So a name never passes back from a younger engine to an older one, whose
/// counters would look like a jump of the younger one's.
pub(super) fn shown(regions: &[Tracked]) -> Vec<(Arc<str>, usize)> {
    let mut services = HashSet::new();
    let mut taken = HashSet::new();
    let mut shown = Vec::new();
    for (place, region) in regions.iter().enumerate() {
        let file = &region.entry.name;
        let newest = services.insert(file.service.as_str());
        if !newest && !region.view.condition.is_held() {
            continue;
        }
        let mut name = if newest {
            file.service.clone()
        } else {
            format!("{}@{}", file.service, file.pid)
        };
        if !taken.insert(name.clone()) {
            // One process with three regions of one service: only the whole file name tells them apart.
            name = format!("{}@{}@{}", file.service, file.pid, file.start_unix_ns);
            taken.insert(name.clone());
        }
        shown.push((name.into(), place));
    }
    shown.sort();
    shown
}
