//! Stand-in until sources see several engines.
use std::sync::Arc;
use crate::source::{Pass, Source, View};
/// One engine.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Name.
    pub engine: Arc<str>,
    /// How.
    pub view: View,
    /// Values.
    pub pass: Option<Pass>,
}
/// All.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The engines, by name; empty where there is no region.
    pub engines: Vec<Sight>,
    /// Why there is none, where there is none.
    pub reason: Option<String>,
}
/// Scrape.
pub fn scrape(source: &Source) -> Host { of(source.scrape()) }
/// Look.
pub fn look(source: &Source) -> Host { of((source.look(), None)) }
fn of((view, pass): (View, Option<Pass>)) -> Host {
    if view.condition == crate::source::Condition::Absent { return Host { engines: vec![], reason: view.reason } }
    let engine = view.region.as_ref().map_or("unknown", |r| &r.info.service).into();
    Host { engines: vec![Sight { engine, view, pass }], reason: None }
}
