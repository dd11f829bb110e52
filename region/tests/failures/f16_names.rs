//! F16: names that are cut to a fixed width collide, or leak what lies behind them. A text has the room that it needs, or is
//! refused at its registration; nothing is ever cut.

use quantumflow_region::{CreateError, RegionOptions, RegionReader, RegionWriter, RegisterError, catalogue};

use crate::common::{options, shm};

#[test]
fn f16_a_label_of_10_kb_is_refused_and_leaves_nothing_behind() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let long = "x".repeat(10_000);
    let refused = hot.counter(&catalogue::FEED_MESSAGES, &[&long]).map(drop);
    let Err(RegisterError::LabelValue { label: "exchange", .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(matches!(hot.subject(&long), Err(RegisterError::Subject { .. })));
    assert!(matches!(region.writer(&long), Err(RegisterError::WriterName { .. })));
    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    assert_eq!(
        (
            snapshot.series.len(),
            snapshot.writers.len(),
            region.registrations_dropped()
        ),
        (0, 1, 0)
    );
}

#[test]
fn f16_the_longest_labels_that_differ_in_their_last_byte_are_two() {
    let region = RegionWriter::private(&options("engine", 1)).unwrap();
    let hot = region.writer("hot").unwrap();
    let labels = ["a", "b"].map(|end| "x".repeat(1023) + end);
    for (label, n) in labels.iter().zip(1..) {
        hot.counter(&catalogue::FEED_MESSAGES, &[label]).unwrap().add(n);
    }
    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    let total = |label: &str| snapshot.total("hft_feed_messages_total", &[("exchange", label)]);
    assert_eq!(labels.map(|label| total(&label)), [1.0, 2.0]);
}

#[test]
fn f16_names_in_the_header_are_refused_and_not_cut() {
    let dir = shm();
    let create = |change: &dyn Fn(&mut RegionOptions)| {
        let mut options = options("engine", 1);
        change(&mut options);
        RegionWriter::create(dir.path(), &options).map(drop)
    };
    let long = "e".repeat(32);
    assert!(matches!(
        create(&|o| o.file.service.clone_from(&long)),
        Err(CreateError::ServiceName(_))
    ));
    assert!(matches!(
        create(&|o| o.version.clone_from(&long)),
        Err(CreateError::OutOfLimits { .. })
    ));
    assert!(matches!(
        create(&|o| o.revision = "r".repeat(41)),
        Err(CreateError::OutOfLimits { .. })
    ));
}

/// A series that needs more text than is left is refused whole, and what came before it is still read.
#[test]
fn f16_a_full_arena_refuses_whole_series() {
    let small = RegionOptions {
        string_bytes: 4096,
        ..options("engine", 1)
    };
    let region = RegionWriter::private(&small).unwrap();
    let hot = region.writer("hot").unwrap();
    let added = (0..100).take_while(|i| {
        let label = format!("{i:0>300}");
        hot.counter(&catalogue::FEED_MESSAGES, &[&label])
            .map(|counter| counter.add(i + 1))
            .is_ok()
    });
    let added = added.count();
    assert!((2..14).contains(&added), "{added}");
    let snapshot = RegionReader::of(&region).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.series.len(), added);
    for (i, series) in snapshot.series.iter().enumerate() {
        assert_eq!(series.meta.label("exchange"), Some(format!("{i:0>300}").as_str()));
        assert_eq!(series.value.as_f64(), Some(i as f64 + 1.0));
    }
    assert!(region.registrations_dropped() > 0);
    // A series without new text still fits.
    assert!(
        region
            .writer("cold")
            .unwrap()
            .counter(&catalogue::FEED_MESSAGES, &[&"0".repeat(300)])
            .is_ok()
    );
}
