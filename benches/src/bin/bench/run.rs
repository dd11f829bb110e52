//! One turn of one engine.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use quantumflow::model::Model;
use quantumflow::os;
use quantumflow_benches::meter::{allocations, thread_ns};
use quantumflow_benches::peers::exchange::{Exchange, ExchangeOptions, Schedule};
use quantumflow_benches::peers::receive::Probe;
use quantumflow_benches::tape::Tape;
use quantumflow_feeds::net::{TestCertificate, TlsServerConfig, TlsServerOptions};

use crate::engines::{Engine, top};

/// What does not change from turn to turn.
pub(crate) struct Setting {
    pub(crate) tape: Arc<Tape>,
    pub(crate) model: Arc<Model>,
    pub(crate) tls: bool,
    pub(crate) receiver_core: Option<usize>,
    pub(crate) sender_core: Option<usize>,
}

/// What a turn measured.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// From the time when a message should have left to its effect; empty for bursts.
    pub(crate) latency_ns: Vec<u64>,
    /// Processor time of the receiver for each message of a burst.
    pub(crate) cpu_ns: f64,
    /// Messages per second while it worked off bursts.
    pub(crate) rate: f64,
    /// Allocations of the receiver for each message.
    pub(crate) allocations: f64,
}

impl Setting {
    /// Lets an engine have its turn.
    pub(crate) fn turn(&self, engine: Engine, schedule: &Schedule) -> Result<Turn, Box<dyn Error>> {
        if let Some(core) = self.receiver_core {
            // Where there is one processor only, it is shared.
            let _ = os::pin_thread(core);
        }
        let certificate = match self.tls {
            true => Some(TestCertificate::generate(
                ["localhost", "127.0.0.1"],
                SystemTime::now(),
            )?),
            false => None,
        };
        let tls = match &certificate {
            Some(of) => Some(TlsServerConfig::new(
                of.certificate_pem.as_bytes(),
                of.key_pem.as_bytes(),
                &TlsServerOptions::default(),
            )?),
            None => None,
        };
        let options = ExchangeOptions {
            tls,
            has_handshake: engine.has_handshake(),
            core: self.sender_core,
        };
        let tape = &self.tape;
        let (first, end) = (tape.prelude, schedule.end(tape));
        let exchange = Exchange::open(Arc::clone(tape), schedule.clone(), options)?;
        let talk = Arc::clone(&exchange.talk);
        let probe = matches!(schedule, Schedule::At(_)).then(|| Probe {
            start: talk.start,
            sent_ns: Arc::clone(&talk.sent_ns),
            latency_ns: Vec::with_capacity(end - first),
            from: first,
        });
        let authority = certificate.as_ref().map(|of| of.authority_pem.as_str());
        let stood = engine.stand(tape, exchange.address, authority, &self.model, first, probe);
        let mut receiver = match stood {
            Ok(receiver) => receiver,
            Err(error) => {
                talk.is_over.store(true, Ordering::Release);
                return Err(format!("{} at {}: {error}", engine.name(), tape.venue).into());
            }
        };
        let mut turn = Turn::default();
        let allocations_before = allocations();
        talk.is_ready.store(true, Ordering::Release);
        match schedule {
            Schedule::At(_) => {
                receiver.receive(end);
            }
            Schedule::Bursts(ends) => {
                let (mut cpu_ns, mut seconds) = (0, 0.0);
                for &end in ends {
                    while talk.written.load(Ordering::Acquire) < end {
                        std::hint::spin_loop();
                    }
                    let (started, cpu_before) = (Instant::now(), thread_ns());
                    receiver.receive(end);
                    cpu_ns += thread_ns() - cpu_before;
                    seconds += started.elapsed().as_secs_f64();
                    talk.read.store(end, Ordering::Release);
                }
                turn.cpu_ns = cpu_ns as f64 / (end - first) as f64;
                turn.rate = (end - first) as f64 / seconds;
            }
        }
        turn.allocations = (allocations() - allocations_before) as f64 / (end - first) as f64;
        talk.is_over.store(true, Ordering::Release);
        if end == tape.ends.len() && engine != Engine::Signal {
            let top = top(&*receiver);
            if top != tape.top {
                return Err(format!(
                    "{} at {} ended with {top:?}, not {:?}",
                    engine.name(),
                    tape.venue,
                    tape.top
                )
                .into());
            }
        }
        turn.latency_ns = receiver.take_probe().map(|probe| probe.latency_ns).unwrap_or_default();
        exchange.join()?;
        Ok(turn)
    }
}
