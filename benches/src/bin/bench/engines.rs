//! Who takes turns.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use quantumflow::model::Model;
use quantumflow_benches::peers::own::{OwnBook, OwnSignal, Venue};
use quantumflow_benches::peers::receive::{Boomnet, Fast, Probe, Receive, Tungstenite, Work};
use quantumflow_benches::peers::sockets::{Socket, TlsSocket, async_socket, async_tls_socket, runtime};
use quantumflow_benches::peers::venues::{
    Binance, Bybit, CoinbaseAdvanced, CoinbaseExchange, Json, Kraken, Okx, Serde, Shape, Simd, Sonic, VenueBook,
};
use quantumflow_benches::tape::Tape;
use quantumflow_feeds::{Side, VenueId};

/// One of those who are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Tungstenite,
    Fast,
    Boomnet,
    Book,
    Signal,
}

/// All, ours last.
pub(crate) const ENGINES: [Engine; 5] = [
    Engine::Tungstenite,
    Engine::Fast,
    Engine::Boomnet,
    Engine::Book,
    Engine::Signal,
];

impl Engine {
    /// Libraries, for the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tungstenite => "tokio-tungstenite, serde_json, BTreeMap",
            Self::Fast => "fastwebsockets, simd-json, BTreeMap",
            Self::Boomnet => "boomnet, sonic-rs, BTreeMap",
            Self::Book => "quantumflow, to the book",
            Self::Signal => "quantumflow, to the signal",
        }
    }

    /// As a tag of a log.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Tungstenite => "tokio-tungstenite",
            Self::Fast => "fastwebsockets",
            Self::Boomnet => "boomnet",
            Self::Book => "book",
            Self::Signal => "signal",
        }
    }

    /// Whether it asks for a WebSocket before it begins with one. The others are put on a connection that is ready: what
    /// comes before the first message is not measured.
    pub(crate) fn has_handshake(self) -> bool {
        matches!(self, Self::Book | Self::Signal)
    }

    /// Connects, and reads until `messages` were worked off and its book stands.
    pub(crate) fn stand(
        self,
        tape: &Tape,
        address: SocketAddr,
        authority_pem: Option<&str>,
        model: &Arc<Model>,
        messages: usize,
        probe: Option<Probe>,
    ) -> Result<Box<dyn Receive>, Box<dyn Error>> {
        let venue = Venue { address, authority_pem };
        let mut engine: Box<dyn Receive> = match self {
            Self::Book => {
                let mut own = OwnBook::new(tape, venue)?;
                if let Some(probe) = probe {
                    own.set_probe(probe);
                }
                own.stand(messages)?;
                return Ok(Box::new(own));
            }
            Self::Signal => {
                let mut own = OwnSignal::new(tape, venue, model, probe)?;
                own.stand(messages)?;
                return Ok(Box::new(own));
            }
            peer => {
                let client = Client { engine: peer, venue };
                match tape.venue {
                    VenueId::BinanceSpot | VenueId::BinanceUsdm => client.of_shape::<Binance>(tape),
                    VenueId::BybitSpot | VenueId::BybitLinear => client.of_shape::<Bybit>(tape),
                    VenueId::OkxV5 => client.of_shape::<Okx>(tape),
                    VenueId::CoinbaseAdvanced => client.of_shape::<CoinbaseAdvanced>(tape),
                    VenueId::CoinbaseExchange => client.of_shape::<CoinbaseExchange>(tape),
                    VenueId::KrakenV2 => client.of_shape::<Kraken>(tape),
                }?
            }
        };
        if let Some(probe) = probe {
            engine.set_probe(probe);
        }
        engine.receive(messages);
        Ok(engine)
    }
}

/// A peer on its way to a venue.
struct Client<'a> {
    engine: Engine,
    venue: Venue<'a>,
}

impl Client<'_> {
    fn of_shape<S: Shape + 'static>(&self, tape: &Tape) -> Result<Box<dyn Receive>, Box<dyn Error>> {
        fn work<S: Shape, J: Json>(tape: &Tape) -> VenueBook<S, J> {
            VenueBook::new(tape.is_book.clone().into())
        }
        match self.engine {
            Engine::Tungstenite => self.tungstenite(work::<S, Serde>(tape)),
            Engine::Fast => self.fast(work::<S, Simd>(tape)),
            _ => self.boomnet(work::<S, Sonic>(tape)),
        }
    }

    fn tungstenite(&self, work: impl Work + 'static) -> Result<Box<dyn Receive>, Box<dyn Error>> {
        let runtime = runtime();
        Ok(match self.venue.authority_pem {
            Some(pem) => {
                let stream = runtime.block_on(async_tls_socket(self.venue.address, pem))?;
                Box::new(Tungstenite::new(runtime, stream, work))
            }
            None => {
                let stream = runtime.block_on(async_socket(self.venue.address))?;
                Box::new(Tungstenite::new(runtime, stream, work))
            }
        })
    }

    fn fast(&self, work: impl Work + 'static) -> Result<Box<dyn Receive>, Box<dyn Error>> {
        let runtime = runtime();
        Ok(match self.venue.authority_pem {
            Some(pem) => {
                let stream = runtime.block_on(async_tls_socket(self.venue.address, pem))?;
                Box::new(Fast::new(runtime, stream, work))
            }
            None => {
                let stream = runtime.block_on(async_socket(self.venue.address))?;
                Box::new(Fast::new(runtime, stream, work))
            }
        })
    }

    fn boomnet(&self, work: impl Work + 'static) -> Result<Box<dyn Receive>, Box<dyn Error>> {
        Ok(match self.venue.authority_pem {
            Some(pem) => Box::new(Boomnet::new(TlsSocket::connect(self.venue.address, pem)?, work)),
            None => Box::new(Boomnet::new(Socket::connect(self.venue.address)?, work)),
        })
    }
}

/// The best bid and ask of an engine that keeps a book.
pub(crate) fn top(engine: &dyn Receive) -> [Option<(i64, i64)>; 2] {
    [Side::Bid, Side::Ask].map(|side| engine.levels(side).first().copied())
}
