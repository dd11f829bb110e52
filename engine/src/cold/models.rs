//! Makes lineups of models, at the start and whenever the engine is asked for others.
//!
//! Loading, checking and warming happen here, on a cold thread, while the hot one goes on with what it has. A file that
//! cannot be used changes nothing and says why. What was replaced comes back to be dropped.

use std::collections::HashSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quantumflow_region::{
    Counter, EventKind, EventWriter, GaugeF64, GaugeI64, RegionWriter, RegisterError, State, SubjectId, ThreadWriter,
    Timestamp, catalogue, in_words,
};

use crate::config;
use crate::features::Feature;
use crate::hot::{ColdSide, GENERATIONS_MAX, LINEUPS_MAX, Lineup, MODEL_NAMES_MAX, Member, ModelCells};
use crate::model::ModelSet;
use crate::os::wall_clock;

/// How often the thread looks whether it was asked for something.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How an engine is asked for other models.
#[derive(Clone, Debug)]
pub struct Reload {
    /// Set by whoever asks.
    pub asked: Arc<AtomicBool>,
    /// The configuration whose `[model]` section is read again.
    pub config: PathBuf,
}

/// Why no lineup can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineupError {
    /// Every name keeps its series for as long as the engine runs.
    #[error(
        "models of more than {MODEL_NAMES_MAX} names since the start: restart the engine, or give a new version of a model the name of the old one"
    )]
    Names,
    /// The signal ring's table of models is full.
    #[error("more than {GENERATIONS_MAX} changes of models since the start: restart the engine")]
    Generations,
}

/// The thread's state.
#[derive(Debug)]
pub struct Models {
    /// Absent where the region has no block for it.
    thread: Option<ThreadWriter>,
    events: EventWriter,
    swaps: [Counter; catalogue::SWAPS.len()],
    swap_duration: GaugeF64,
    instruments: usize,
    /// By the number of a model's cells.
    names: Vec<Name>,
    generation: usize,
    /// What all running engines of features compute.
    features: HashSet<Feature>,
    /// What was handed over last.
    newest: Option<Handed>,
    /// Lineups that have not come back.
    away: usize,
}

/// A name that models had, and what became of the last one.
#[derive(Debug)]
struct Name {
    name: String,
    role: State,
    loaded: GaugeI64,
    loaded_at: Timestamp,
}

/// What the hot thread was given.
#[derive(Debug)]
struct Handed {
    hashes: Vec<u64>,
    signal_threshold: f32,
    names: Vec<usize>,
    features: HashSet<Feature>,
}

/// The places in [`catalogue::SWAPS`].
#[derive(Clone, Copy)]
enum Swap {
    Done,
    Superseded,
    Unchanged,
    Refused,
}

/// The places in [`catalogue::MODEL_ROLES`].
#[derive(Clone, Copy)]
enum Role {
    Retired,
    Champion,
    Shadow,
}

const _: () = assert!(Role::Shadow as usize + 1 == catalogue::MODEL_ROLES.len());

impl Role {
    /// By the place in a set: the champion is first.
    fn of(place: usize) -> Self {
        if place == 0 { Self::Champion } else { Self::Shadow }
    }

    fn name(self) -> &'static str {
        catalogue::MODEL_ROLES[self as usize]
    }
}

impl Models {
    /// For a shard of so many instruments.
    pub fn new(region: &RegionWriter, instruments: usize) -> Self {
        let registered = region.writer("models").and_then(|thread| {
            let [a, b, c, d] = catalogue::SWAPS.map(|result| thread.counter(&catalogue::MODEL_SWAPS, &[result]));
            let duration = thread.gauge_f64(&catalogue::MODEL_SWAP_DURATION, &[])?;
            Ok((thread.events()?, [a?, b?, c?, d?], duration, thread))
        });
        let (events, swaps, swap_duration, thread) = match registered {
            Ok((events, swaps, duration, thread)) => (events, swaps, duration, Some(thread)),
            Err(error) => {
                missing(&error);
                let swaps = catalogue::SWAPS.map(|_| Counter::detached());
                (EventWriter::detached(), swaps, GaugeF64::detached(), None)
            }
        };
        Self {
            thread,
            events,
            swaps,
            swap_duration,
            instruments,
            names: Vec::new(),
            generation: 0,
            features: HashSet::new(),
            newest: None,
            away: 0,
        }
    }

    /// A lineup for the hot thread, which has to be given it: its members count as loaded from now on.
    ///
    /// # Errors
    /// The engine has had too many.
    pub fn lineup(&mut self, set: &ModelSet, signal_threshold: f32) -> Result<Lineup, LineupError> {
        let unknown = |name: &&str| !self.names.iter().any(|known| known.name == **name);
        let new_names = set.all().map(|model| &*model.contract().name).filter(unknown).count();
        if self.names.len() + new_names > MODEL_NAMES_MAX {
            return Err(LineupError::Names);
        }
        if self.generation >= GENERATIONS_MAX {
            return Err(LineupError::Generations);
        }
        let mut new_cells = Vec::new();
        let members: Vec<Member> = set
            .all()
            .map(|model| Member {
                model: Arc::clone(model),
                cells: self.cells_of(&model.contract().name, &mut new_cells),
            })
            .collect();
        let wanted: HashSet<Feature> = set.all().flat_map(|model| model.features()).collect();
        let in_order: Vec<Feature> = wanted.iter().copied().collect();
        let brings_features = self.newest.is_none() || !wanted.is_subset(&self.features);
        let lineup = Lineup::new(
            self.generation as u16,
            &members,
            signal_threshold,
            new_cells,
            brings_features.then_some(&in_order),
            self.instruments,
        );
        // Where it brings none, the running engines stay as they are.
        let running = if brings_features { wanted } else { self.features.clone() };
        // Until every instrument has changed over, only what both compute is surely there.
        self.features = match &self.newest {
            None => running.clone(),
            Some(_) => self.features.intersection(&running).copied().collect(),
        };
        self.generation += 1;
        let now = wall_clock();
        for (place, member) in members.iter().enumerate() {
            let name = &self.names[member.cells];
            name.role.set(Role::of(place) as u8);
            name.loaded.set(1);
            name.loaded_at.set(now.0);
        }
        self.newest = Some(Handed {
            hashes: set.all().map(|model| model.hash()).collect(),
            signal_threshold,
            names: members.iter().map(|member| member.cells).collect(),
            features: running,
        });
        Ok(lineup)
    }

    /// Serves whoever asks for other models, until `stop` is set.
    pub fn run(mut self, cold: &ColdSide, reload: &Reload, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            while let Some(lineup) = cold.take_spent_lineup() {
                self.came_back(&lineup);
            }
            // What comes while as many as can be are away is kept in mind: the flag stays.
            if self.away < LINEUPS_MAX - 1 && reload.asked.swap(false, Ordering::Relaxed) {
                self.reload(cold, reload, stop);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn reload(&mut self, cold: &ColdSide, reload: &Reload, stop: &AtomicBool) {
        tracing::info!(config = %reload.config.display(), "asked for the models of the configuration");
        let config = match config::load(&reload.config) {
            Ok(config) => config.model,
            Err(error) => return self.refuse(&error),
        };
        let set = match ModelSet::load(&config) {
            Ok(set) => set,
            Err(error) => return self.refuse(&error),
        };
        let hashes: Vec<u64> = set.all().map(|model| model.hash()).collect();
        if let Some(newest) = &self.newest
            && newest.hashes == hashes
            && newest.signal_threshold == config.signal_threshold
        {
            tracing::info!("the models are the ones that run: nothing to do");
            return self.count(Swap::Unchanged);
        }
        let mut lineup = match self.lineup(&set, config.signal_threshold) {
            Ok(lineup) => Box::new(lineup),
            Err(error) => return self.refuse(&error),
        };
        log_loaded(&set);
        self.away += 1;
        // The hot thread looks every few milliseconds.
        while let Err(back) = cold.deliver_lineup(lineup) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            lineup = back;
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The hot thread is done with a lineup: what it holds now has been replaced, or was to replace something and came too
    /// late.
    fn came_back(&mut self, lineup: &Lineup) {
        self.away -= 1;
        let newest_generation = self.generation - 1;
        let is_newest = usize::from(lineup.generation()) == newest_generation;
        let Some(newest) = &self.newest else { return };
        if lineup.waiting() > 0 {
            tracing::warn!(
                generation = lineup.generation(),
                instruments_left = lineup.waiting(),
                "newer models came before these had taken over"
            );
            return self.count(Swap::Superseded);
        }
        let seconds = lineup.age().as_secs_f64();
        if is_newest {
            self.features.clone_from(&newest.features);
            for (cells, name) in self.names.iter().enumerate() {
                if !newest.names.contains(&cells) {
                    name.role.set(Role::Retired as u8);
                    name.loaded.set(0);
                }
            }
        }
        self.swap_duration.set(seconds);
        tracing::info!(
            model = lineup.champion().contract().name,
            hash = format!("{:016x}", lineup.champion().hash()),
            generation = lineup.generation(),
            seconds,
            "every instrument predicts with the new models"
        );
        self.count(Swap::Done);
    }

    fn refuse(&self, error: &(dyn Error + 'static)) {
        let error = in_words(error);
        tracing::error!(error, "the models are refused, nothing has changed");
        self.events
            .record(EventKind::ModelRefused, SubjectId::NONE, wall_clock().0, 0, 0);
        self.count(Swap::Refused);
    }

    fn count(&self, swap: Swap) {
        self.swaps[swap as usize].inc();
    }

    /// The number of a name's cells. Those of a new name are made.
    fn cells_of(&mut self, name: &str, new_cells: &mut Vec<(usize, ModelCells)>) -> usize {
        if let Some(cells) = self.names.iter().position(|known| known.name == name) {
            return cells;
        }
        let cells = self.names.len();
        let (standing, of_hot) = match &self.thread {
            Some(thread) => (Name::register(thread, name), ModelCells::register(thread, name)),
            None => (Name::detached(name), ModelCells::detached()),
        };
        self.names.push(standing);
        new_cells.push((cells, of_hot));
        cells
    }
}

impl Name {
    fn register(thread: &ThreadWriter, name: &str) -> Self {
        let labels = [name];
        let registered = || {
            Ok(Self {
                name: name.to_owned(),
                role: thread.state(&catalogue::MODEL_ROLE, &labels, Role::Retired as u8)?,
                loaded: thread.gauge_i64(&catalogue::MODEL_LOADED, &labels)?,
                loaded_at: thread.timestamp(&catalogue::MODEL_LOADED_AT, &labels)?,
            })
        };
        registered().unwrap_or_else(|error| {
            missing(&error);
            Self::detached(name)
        })
    }

    fn detached(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role: State::detached(),
            loaded: GaugeI64::detached(),
            loaded_at: Timestamp::detached(),
        }
    }
}

/// Says which models are there now.
pub fn log_loaded(set: &ModelSet) {
    for (place, model) in set.all().enumerate() {
        tracing::info!(
            model = model.contract().name,
            role = Role::of(place).name(),
            hash = format!("{:016x}", model.hash()),
            check = %model.judgement(),
            "model loaded"
        );
    }
}

fn missing(error: &RegisterError) {
    let error = error as &dyn Error;
    tracing::warn!(error, "something about the models is missing in the region");
}

const _: () = assert!(
    GENERATIONS_MAX <= u16::MAX as usize,
    "a prediction carries its generation in 16 bits"
);
