//! The book's logic broken on purpose, one mistake at a time: does anything notice?
//!
//! [`Mutated`](rules::Mutated) is a venue's [`Rules`](super::rules::Rules) with one mistake in them, around a
//! [`Wire`](super::Wire) with one mistake in it. A whole session is made of them and hears what a simulated client of the venue was told, and what a
//! recording holds; beside it stands a book of ordered maps that makes no mistake. What is found out is the first alarm
//! of the session, and whether it had shown a wrong book before. The session without a mistake is the control: it must
//! raise no alarm and show no wrong book.
//!
//! The tables in `docs/venues.md`, "What catches which mistake", are what the tests expect: a change that makes a session
//! blind, or a table a lie, fails, and prints the table as it should be. A witness beside the session, such as a later
//! comparison with a REST book, would hear each line in [`trial`] and be one more source of alarms.

mod rules;
mod script;
mod shadow;
mod table;
mod trial;
mod truth;
mod wire;

use std::cell::Cell;

/// What is done wrong; the words of [`ALL`](Mistake::ALL) say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    DeletesIgnored,
    SidesSwapped,
    LastLevelDropped,
    UpdateSkipped,
    LostUnnoticed,
    Lost,
    OrderReversed,
    Added,
    UpdateForWhole,
    BestQuantityOff,
    DeepQuantityOff,
    PriceOff,
    SeedShort,
    SnapshotMerged,
    NeverCut,
    CutShort,
    StraddleRefused,
    StraddleDropped,
    StaleSeedTaken,
    ContainedApplied,
    DecimalsOff,
}

impl Mistake {
    /// In the order of the table, each with its words there.
    const ALL: [(Self, &'static str); 21] = [
        (Self::DeletesIgnored, "deletes are ignored"),
        (Self::SidesSwapped, "bids and asks are swapped in updates"),
        (Self::LastLevelDropped, "the last level of each update is dropped"),
        (
            Self::UpdateSkipped,
            "one update in twenty is not applied, its id is taken",
        ),
        (Self::Lost, "one update in twenty is lost on the way"),
        (Self::LostUnnoticed, "the same, and the venue's proof is not asked"),
        (Self::OrderReversed, "the levels of a message are applied backwards"),
        (Self::Added, "quantities are added instead of set"),
        (Self::UpdateForWhole, "an update replaces the book"),
        (Self::BestQuantityOff, "the best level's quantity is one unit off"),
        (
            Self::DeepQuantityOff,
            "a quantity below the tenth level is one unit off",
        ),
        (Self::PriceOff, "one price in twenty is one unit off"),
        (Self::SeedShort, "a snapshot is read to its tenth level only"),
        (Self::SnapshotMerged, "a new snapshot is laid over the old book"),
        (Self::NeverCut, "the book is never cut to its depth"),
        (Self::CutShort, "the book is cut one level short"),
        (Self::StraddleRefused, "the update around the snapshot's id is refused"),
        (Self::StraddleDropped, "the update around the snapshot's id is dropped"),
        (Self::StaleSeedTaken, "a snapshot older than the first update is taken"),
        (Self::ContainedApplied, "updates that the snapshot contains are applied"),
        (Self::DecimalsOff, "the decimals are not those of the wire"),
    ];

    /// Of the session that this thread is trying.
    fn current() -> Self {
        CURRENT.get()
    }
}

thread_local! {
    // A session makes its rules and its wire from nothing but a configuration, and some rules have no state at all:
    // there is no other way in for a mistake that production code would not have to know of.
    static CURRENT: Cell<Mistake> = const { Cell::new(Mistake::None) };
}
