use std::collections::HashSet;

use super::*;

fn live() -> Arc<Live> {
    let source = Arc::new(Source::new("/nonexistent"));
    let monitoring = Arc::new(Monitoring::new(Arc::clone(&source)));
    Arc::new(Live::new(source, monitoring))
}

fn events(live: &Arc<Live>) -> Box<dyn Stream> {
    match follow(live) {
        Answer::Stream(head, stream) => {
            assert_eq!(head.content_type, "text/event-stream");
            stream
        }
        Answer::Whole(_) => panic!("not a stream"),
    }
}

/// The lines of one event, which ends with an empty one.
fn lines(bytes: &[u8]) -> Vec<String> {
    let text = str::from_utf8(bytes).unwrap();
    let event = text.strip_suffix("\n\n").unwrap();
    assert!(!event.contains("\n\n") && !event.contains('\r'), "{event}");
    event.lines().map(str::to_owned).collect()
}

#[test]
fn the_first_event_comes_at_once_and_asks_for_a_reconnect_and_the_next_is_another_tick() {
    let live = live();
    let mut client = events(&live);
    let first = lines(&client.next().unwrap());
    assert_eq!(
        (first.len(), first[0].as_str(), first[1].as_str()),
        (3, "retry: 2000", "id: 1")
    );
    let document: serde_json::Value = serde_json::from_str(first[2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(
        (&document["tick"], &document["status"]),
        (&1.into(), &"unhealthy".into())
    );
    assert!(document["reason"].as_str().unwrap().contains("/nonexistent"));
    let second = lines(&client.next().unwrap());
    assert_eq!((second.len(), second[0].as_str()), (2, "id: 2"));
}

#[test]
fn however_many_follow_there_is_one_tick_for_all() {
    let live = live();
    let ticks = |_| {
        let mut client = events(&live);
        [client.next(), client.next()].map(|event| lines(&event.unwrap()).pop().unwrap())
    };
    let all: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|i| scope.spawn(move || ticks(i))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let different: HashSet<&String> = all.iter().collect();
    assert_eq!(all.len(), 16);
    // Two; a third where a client came so late on a busy machine that its second tick is the others' third.
    assert!((2..=4).contains(&different.len()), "{}", different.len());
    assert_eq!(
        live.state().number,
        different.len() as u64,
        "nothing was made for nobody"
    );
}
