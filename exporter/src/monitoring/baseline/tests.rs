use super::*;
use crate::fixture::{Engine, down};
use crate::source::Condition;
use quantumflow_region::catalogue;

fn host(sight: Sight) -> Host {
    Host {
        engines: vec![sight],
        ..Host::default()
    }
}

#[test]
fn an_engine_is_compared_with_a_copy_between_one_and_two_spacings_old() {
    let mut engine = Engine::new(1);
    let updates = engine.hot.counter(&catalogue::LOG_EVENTS_DROPPED, &[]).unwrap();
    engine.hot.histogram(&catalogue::FEATURE_LATENCY, &[]).unwrap();
    let began = Instant::now();
    let mut baselines = Baselines::default();
    assert!(baselines.of(&engine.sight(), began).is_none());
    for second in 0..60_u64 {
        let now = began + Duration::from_secs(second);
        let sight = engine.sight();
        if let Some(earlier) = baselines.of(&sight, now) {
            let age = earlier.age.as_secs();
            assert_eq!(
                earlier.snapshot.total(catalogue::LOG_EVENTS_DROPPED.name, &[]) as u64,
                second - age
            );
            assert!(second < 20 || (10..=20).contains(&age), "{age} at {second}");
            assert_eq!(earlier.snapshot.series.len(), 1, "no histograms are kept");
        } else {
            assert_eq!(second, 0);
        }
        baselines.remember(&host(sight), now);
        updates.inc();
    }
}

#[test]
fn an_engine_that_is_down_is_forgotten_and_a_new_start_is_not_paired_with_the_old_one() {
    let began = Instant::now();
    let at = |spacings| began + SPACING * spacings;
    let mut baselines = Baselines::default();
    let (mut old, mut new) = (Engine::new(1), Engine::new(2));
    baselines.remember(&host(old.sight()), at(0));
    baselines.remember(&host(new.sight()), at(1));
    let instance = new.sight().view.region.unwrap().info.instance_id;
    assert_eq!(baselines.of(&new.sight(), at(1)).unwrap().instance_id, instance);
    baselines.remember(&host(down(Condition::Crashed, None)), at(2));
    assert!(baselines.of(&new.sight(), at(2)).is_none());
}
