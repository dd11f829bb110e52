//! What can go wrong on purpose.
//!
//! A plan is a list of [`PlannedFault`]s. Each counts the messages (or requests) that it could strike, over all clients
//! since the start, lets `after` of them pass, strikes `times` times, and is spent: a client that reconnects finds a
//! healthy venue.

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Sends half of a frame and ends the TCP connection.
    CutMidFrame,
    /// Sends nothing more on this connection and reads nothing more, without ending it: a dead peer behind a live NAT.
    Freeze,
    /// Leaves a book update out. The venue's ids and checksums go on as if it had been sent.
    SkipUpdate,
    /// Changes a digit of a quantity in a book update (on Kraken: of a level that the checksum covers; on Bybit
    /// nothing could notice it, and none is changed).
    CorruptLevel,
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
    /// Blows a book snapshot (on Binance: the REST body) up to at least this size, with valid levels far from the touch.
    HugeSnapshot {
        /// The least size in bytes.
        bytes: usize,
    },
    /// Acknowledges a subscription and never sends a message for it.
    Mute,
    /// Refuses a subscription in the venue's words.
    RefuseSubscription,
    /// Closes the WebSocket in good order.
    Close {
        /// The close code.
        code: u16,
        /// The words with it.
        reason: String,
    },
    /// Announces a shutdown as the venue does: Binance `serverShutdown`, Kraken `status` with `maintenance`; Bybit
    /// says nothing before it goes.
    ServerShutdown,
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

impl Fault {
    fn target(&self) -> Target {
        match self {
            Self::CutMidFrame
            | Self::Freeze
            | Self::OversizedFrame { .. }
            | Self::MalformedMessage
            | Self::Fragment { .. }
            | Self::Close { .. }
            | Self::ServerShutdown => Target::Data,
            Self::SkipUpdate | Self::CorruptLevel => Target::Update,
            Self::Mute | Self::RefuseSubscription => Target::Subscription,
            Self::HugeSnapshot { .. } => Target::Snapshot,
            Self::RestStatus { .. } | Self::RestTruncated { .. } | Self::RestTooOld => Target::Rest,
        }
    }
}

/// A fault with its place in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// What happens.
    pub fault: Fault,
    /// Only to this instrument, in the venue's spelling; `None` to any.
    pub symbol: Option<String>,
    /// How many chances pass first.
    pub after: u64,
    /// How many chances in a row are struck.
    pub times: u32,
}

impl PlannedFault {
    /// Strikes the first chance, once.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            symbol: None,
            after: 0,
            times: 1,
        }
    }

    /// Only this instrument.
    pub fn symbol(self, symbol: &str) -> Self {
        Self {
            symbol: Some(symbol.to_owned()),
            ..self
        }
    }

    /// Lets so many chances pass first.
    pub fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }

    /// Strikes so many chances in a row.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

/// The plan as it is being played.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
    fired: u64,
}

#[derive(Debug)]
struct Armed {
    plan: PlannedFault,
    target: Target,
    symbol: Option<u16>,
    chances: u64,
}

impl Faults {
    /// The plan, with symbols as places in `symbols`; a fault of an unknown symbol never strikes.
    pub(super) fn new(plan: &[PlannedFault], symbols: &[String]) -> Self {
        let armed = plan
            .iter()
            .map(|plan| Armed {
                target: plan.fault.target(),
                symbol: plan.symbol.as_ref().map(|name| {
                    symbols
                        .iter()
                        .position(|symbol| symbol == name)
                        .map_or(u16::MAX, |index| index as u16)
                }),
                chances: 0,
                plan: plan.clone(),
            })
            .collect();
        Self { armed, fired: 0 }
    }

    /// Nothing is left to go wrong.
    pub(super) fn is_spent(&self) -> bool {
        self.armed.is_empty()
    }

    /// How many have struck.
    pub(super) fn fired(&self) -> u64 {
        self.fired
    }

    /// One chance comes; the first fault whose turn it is strikes. `can` refuses faults that cannot strike this very
    /// message, which is then no chance for them.
    pub(super) fn strike(
        &mut self,
        target: Target,
        symbol: Option<u16>,
        can: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        let mut struck = None;
        for armed in &mut self.armed {
            let fits = armed.target == target && (armed.symbol.is_none() || armed.symbol == symbol);
            if !fits || !can(&armed.plan.fault) {
                continue;
            }
            armed.chances += 1;
            if armed.chances > armed.plan.after && struck.is_none() {
                armed.plan.times = armed.plan.times.saturating_sub(1);
                struck = Some(armed.plan.fault.clone());
            }
        }
        if struck.is_some() {
            self.fired += 1;
            self.armed.retain(|armed| armed.plan.times > 0);
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lets_chances_pass_strikes_and_is_spent() {
        let plan = [
            PlannedFault::new(Fault::SkipUpdate).symbol("B").after(1).times(2),
            PlannedFault::new(Fault::Freeze).symbol("missing"),
        ];
        let mut faults = Faults::new(&plan, &["A".to_owned(), "B".to_owned()]);
        let mut strike = |symbol| faults.strike(Target::Update, Some(symbol), |_| true).is_some();
        assert_eq!(
            [0, 1, 1, 0, 1, 1].map(&mut strike),
            [false, false, true, false, true, false]
        );
        assert_eq!(faults.fired(), 2);
        assert!(
            !faults.is_spent(),
            "the fault of a symbol that does not exist never strikes"
        );
    }
}
