//! What has gone wrong in other systems of this kind, one module for each: the defence, and a test that makes it happen.
//!
//! | | failure | module |
//! |---|---|---|
//! | F1 | a store waits for a disk | `f01_writeback` |
//! | F2 | a full /dev/shm kills the engine | `f02_full_tmpfs` |
//! | F3 | a file that is cut kills the reader | `f03_truncation` |
//! | F4 | a half-written file is seen | `f04_half_written` |
//! | F5 | the layout drifts | `f05_layout` |
//! | F6 | bytes change between check and use | `f06_double_fetch` |
//! | F7 | offsets and lengths lie | `f07_hostile` |
//! | F8 | a dead writer looks alive | `f08_dead_writer` |
//! | F9 | a process id means another process | `f09_process_ids` |
//! | F10 | clocks disagree | `f10_clocks` |
//! | F11 | a reader waits for a dead writer | `f11_stopped_writer` |
//! | F12 | a reader starves beside a busy writer | `f12_starvation` |
//! | F13 | a histogram contradicts itself | `f13_invariants` |
//! | F14 | a gauge fed by several threads underflows | `f14_gauges` |
//! | F15 | a value is torn | `f15_torn_values` |
//! | F16 | names are cut and collide | `f16_names` |
//! | F17 | a slot is reused under another name | `f17_churn` |
//! | F18 | what finds no room is lost without a word | `f18_capacity` |
//! | F19 | a reader needs to write | `f19_read_only` |
//! | F20 | counters are carried over a restart | `f20_restart` |

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

#[path = "../common/mod.rs"]
mod common;

mod f01_writeback;
mod f02_full_tmpfs;
mod f03_truncation;
mod f04_half_written;
mod f05_layout;
mod f06_double_fetch;
mod f07_hostile;
mod f08_dead_writer;
mod f09_process_ids;
mod f10_clocks;
mod f11_stopped_writer;
mod f12_starvation;
mod f13_invariants;
mod f14_gauges;
mod f15_torn_values;
mod f16_names;
mod f17_churn;
mod f18_capacity;
mod f19_read_only;
mod f20_restart;

use common::engine;

#[test]
#[ignore = "not a test: what the other tests start and kill"]
fn the_other_program() {
    let Some((role, dir)) = engine::role() else { return };
    match role.as_str() {
        "create" => f04_half_written::create(&dir),
        "full" => f02_full_tmpfs::in_a_full_tmpfs(&dir),
        "liveness" => f09_process_ids::say_liveness(&dir),
        "read" => f03_truncation::read_for_ever(&dir),
        "record" => f08_dead_writer::record_for_ever(&dir),
        "record and panic" => f08_dead_writer::record_and_panic(&dir),
        "torture" => f07_hostile::read_damaged_regions(&dir),
        _ => panic!("no role {role}"),
    }
}
