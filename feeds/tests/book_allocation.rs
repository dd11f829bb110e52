//! A book that has seen its market allocates nothing: a page that empties and one that fills trade places in the pool.

use allocation_counter::measure;
use quantumflow_feeds::book::{Book, Level};
use quantumflow_feeds::{Price, Qty, Side};

/// 200 levels a side, a page of their own each, around a touch that walks; deletes, unknown deletes, a far level.
fn one_step(book: &mut Book, step: i64) -> i64 {
    let touch = 6_000_000 + 150 * step;
    for level in 0..200 {
        let distance = 70 * level;
        book.set(Side::Bid, Price(touch - distance), Qty(1 + step));
        book.set(Side::Ask, Price(touch + 1 + distance), Qty(1 + step));
        book.set(Side::Bid, Price(touch - 150 - distance), Qty(0));
        book.set(Side::Ask, Price(touch - 149 + distance), Qty(0));
    }
    book.set(Side::Ask, Price(i64::MAX - step % 2), Qty(step % 3));
    book.truncate(Side::Bid, 190);
    if step % 100 == 0 {
        book.clear();
    }
    let mut top = [Level::default(); 20];
    book.top(Side::Bid, &mut top);
    top[0].price.0 + book.depth_sum(Side::Ask, 50).0 + i64::from(book.is_crossed())
}

#[test]
fn a_warm_book_allocates_nothing() {
    let mut book = Book::new();
    let mut sum = 0_i64;
    let mut steps = 0..3_000;
    for step in steps.by_ref().take(200) {
        sum = sum.wrapping_add(one_step(&mut book, step));
    }
    let warm = measure(|| {
        for step in steps {
            sum = sum.wrapping_add(one_step(&mut book, step));
        }
    });
    assert_eq!(warm.count_total, 0);
    assert!(sum != 0);
}

#[test]
fn a_book_with_room_from_the_start_needs_no_warm_up() {
    let mut book = Book::new();
    let construction = measure(|| book = Book::with_limits(1_000, 1_000));
    assert!(construction.count_total > 0, "the counter counts");
    // Each level on a page of its own, the worst case that the room was asked for.
    let filling = measure(|| {
        for level in 0..1_000 {
            book.set(Side::Bid, Price(level * 64), Qty(1));
        }
    });
    assert_eq!(filling.count_total, 0);
    assert_eq!(book.level_count(Side::Bid), 1_000);
}
