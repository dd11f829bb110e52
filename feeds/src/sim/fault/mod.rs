//! What can go wrong on purpose.
//!
//! A plan is a list of [`PlannedFault`]s. Each counts the messages (or requests) that it could strike, over all clients
//! since the start, lets `after` of them pass, strikes `times` times, and is spent: a client that reconnects finds a
//! healthy venue. [`Chaos`] draws faults over a whole run instead, from a seed.
//!
//! Nearly all faults are played on finished messages, below the venue's protocol, so a new venue has them without a line
//! of its own. What a venue adds is told by its `Manners`.

mod chaos;
mod kind;
mod plan;

use std::time::Duration;

pub use chaos::Chaos;
pub use kind::{FaultKind, UnknownFaultKind};
pub(super) use plan::Faults;
pub use plan::PlannedFault;

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Leaves a book update out. The venue's ids and checksums go on as if it had been sent.
    SkipUpdate,
    /// Sends a book update twice.
    DuplicateUpdate,
    /// Sends a book update behind the next one of its instrument.
    ReorderUpdates,
    /// Changes a digit of a quantity in a book update (on Kraken: of a level that the checksum covers).
    CorruptLevel,
    /// Changes the last digit of a price in a book update that is not zero, so that the level lies elsewhere. Where the
    /// venue has a checksum, it is a level that the checksum covers.
    CorruptPrice,
    /// Sends the deletion of a level as a small quantity: the level stays.
    ResurrectLevel,
    /// After a book update, the venue's ids of its instrument start again from below, in the stream and by REST.
    SequenceRestart,
    /// After a book update, the venue sends the whole book of its instrument once more in the stream.
    RepeatSnapshot,
    /// Sends half of a frame and ends the TCP connection.
    CutMidFrame,
    /// Sends nothing more on this connection and reads nothing more, without ending it: what the client sends fills the
    /// buffers between them.
    Freeze,
    /// Sends nothing more on this connection, without ending it, and swallows whatever the client sends: a peer that has
    /// gone behind a middle box that has not noticed.
    HalfOpen,
    /// Sends nothing on this connection for a time, then everything that was due, at once.
    Stall {
        /// How long.
        lasting: Duration,
    },
    /// Sends no more than so many bytes a second on this connection for a time; up to 1,000, byte by byte.
    SlowWire {
        /// The rate; zero counts as one.
        bytes_per_second: u32,
        /// How long. What has gathered by then comes at once.
        lasting: Duration,
    },
    /// Announces a frame of so many payload bytes, and sends nothing of it.
    OversizedFrame {
        /// The length in the frame's header.
        announced_bytes: u64,
    },
    /// Sends a text message that is not JSON before the message.
    MalformedMessage,
    /// Sends the message in pieces (continuation frames), with a ping between the first two.
    Fragment {
        /// How many.
        pieces: usize,
    },
    /// Closes the WebSocket in good order.
    Close {
        /// The close code.
        code: u16,
        /// The words with it.
        reason: String,
    },
    /// Announces a shutdown as the venue does: Binance `serverShutdown`, Kraken `status` with `maintenance`.
    ServerShutdown,
    /// From the next message on, the venue's times are so much later, or earlier. Steps add up.
    ClockStep {
        /// By how much.
        milliseconds: i64,
    },
    /// Blows a book snapshot (on Binance: the REST body) up to at least this size, with valid levels far from the touch.
    HugeSnapshot {
        /// The least size in bytes.
        bytes: usize,
    },
    /// Acknowledges a subscription and never sends a message for it.
    Mute,
    /// Refuses a subscription in the venue's words.
    RefuseSubscription,
    /// Answers a REST request for a book with an error.
    RestStatus {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header.
        retry_after_seconds: Option<u32>,
    },
    /// Cuts the body of a REST book in half.
    RestTruncated {
        /// Whether `Content-Length` names the length of the half, so that HTTP sees nothing wrong; otherwise it names the
        /// whole, and the connection ends early.
        is_length_right: bool,
    },
    /// Answers with a book that is older than anything on the stream.
    RestTooOld,
}

/// What a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Any message that carries the market.
    Data,
    /// A book update.
    Update,
    /// A subscription request for one instrument.
    Subscription,
    /// A book snapshot, on the socket or by REST.
    Snapshot,
    /// A REST request for a book.
    Rest,
}
