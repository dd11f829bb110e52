//! Who predicts for an instrument, and how others take over.
//!
//! The champion's predictions are signals. Shadows predict beside it, once it has spoken: they are counted and timed, and
//! nobody acts on them. A [`Lineup`] is made on a cold thread for all instruments of a shard: checked, warmed, its cells in
//! the region. Whom it replaces goes on speaking until the new champion has seen as much of an instrument's book as it
//! needs; then they change places, between two updates. Nothing is copied, nothing is freed: what has left goes back to the
//! cold thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quantumflow_feeds::{BookUpdate, Trade};

use super::metrics::ModelCells;
use crate::features::{Feature, FeatureEngine, FeatureVector, HorizonWatch, warm_up_of};
use crate::model::{self, Answer, Model, Predictor};

/// The models of a shard, on their way to it; later, what they have replaced, on its way back.
#[derive(Debug)]
pub struct Lineup {
    made: Instant,
    generation: u16,
    champion: Arc<Model>,
    /// Cells of models that the hot thread has not known before, and the places that they take.
    pub(super) new_cells: Vec<(usize, ModelCells)>,
    /// By place in the shard.
    understudies: Vec<Understudy>,
    /// Instruments that have not changed over.
    waiting: usize,
}

/// A model and which of the hot thread's cells are its own.
#[derive(Clone, Debug)]
pub struct Member {
    /// The model.
    pub model: Arc<Model>,
    /// Its cells.
    pub cells: usize,
}

impl Lineup {
    /// A lineup for so many instruments; the first member is the champion. `features` are those that the new engines
    /// compute, `None` where the running ones compute enough. Allocates: for a cold thread.
    ///
    /// # Panics
    /// There is no member.
    pub fn new(
        generation: u16,
        members: &[Member],
        signal_threshold: f32,
        new_cells: Vec<(usize, ModelCells)>,
        features: Option<&[Feature]>,
        instruments: usize,
    ) -> Self {
        let understudy = || Understudy {
            features: features.map(|features| FeatureEngine::of(features.iter().copied())),
            seats: Seats::new(generation, signal_threshold, members),
            rehearsed: 0,
            has_left: false,
        };
        Self {
            made: Instant::now(),
            generation,
            champion: Arc::clone(&members[0].model),
            new_cells,
            understudies: (0..instruments).map(|_| understudy()).collect(),
            waiting: instruments,
        }
    }

    /// Which it is since the start of the engine.
    pub fn generation(&self) -> u16 {
        self.generation
    }

    /// For how long it has been under way.
    pub fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// Whose predictions are signals.
    pub fn champion(&self) -> &Arc<Model> {
        &self.champion
    }

    /// Instruments that have not changed over to it.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The first lineup of a shard: nobody is there whom it would have to wait for.
    ///
    /// # Panics
    /// It was made without features.
    pub(super) fn into_minds(self) -> Vec<Mind> {
        let of = |understudy: Understudy| Mind {
            features: understudy.features.expect("the first lineup brings its features"),
            seats: understudy.seats,
        };
        self.understudies.into_iter().map(of).collect()
    }

    /// An instrument's book has moved, and its present champion has spoken. Changes over if it is time; what failed is
    /// told to `failed` with the cells of who failed.
    ///
    /// Returns whether this was the last instrument.
    pub(super) fn rehearse(
        &mut self,
        place: usize,
        mind: &mut Mind,
        update: &BookUpdate<'_>,
        mut failed: impl FnMut(usize),
    ) -> bool {
        let Some(understudy) = self.understudies.get_mut(place) else {
            return false;
        };
        if understudy.has_left || !understudy.rehearse(&mind.features, update, &mut failed) {
            return false;
        }
        if let Some(features) = &mut understudy.features {
            std::mem::swap(features, &mut mind.features);
        }
        std::mem::swap(&mut understudy.seats, &mut mind.seats);
        understudy.has_left = true;
        self.waiting -= 1;
        self.waiting == 0
    }

    /// A trade of an instrument that may still wait.
    pub(super) fn on_trade(&mut self, place: usize, trade: &Trade<'_>) {
        if let Some(understudy) = self.understudies.get_mut(place)
            && let Some(features) = &mut understudy.features
            && !understudy.has_left
        {
            features.on_trade(trade);
        }
    }
}

/// What is kept of one instrument between two updates.
#[derive(Debug)]
pub(super) struct Mind {
    pub(super) features: FeatureEngine,
    pub(super) seats: Seats,
}

/// The predictors of one instrument.
#[derive(Debug)]
pub(super) struct Seats {
    pub(super) generation: u16,
    pub(super) signal_threshold: f32,
    pub(super) champion: Seat,
    pub(super) shadows: Box<[Seat]>,
}

/// One model's predictor of one instrument.
#[derive(Debug)]
pub(super) struct Seat {
    /// Which cells are the model's.
    pub(super) cells: usize,
    /// Rows before are not for this model: some feature that it looks at does not mean what it says yet.
    warm_up_updates: u16,
    horizon: HorizonWatch,
    pub(super) predictor: Predictor,
}

impl Seats {
    fn new(generation: u16, signal_threshold: f32, members: &[Member]) -> Self {
        let mut seats = members.iter().map(Seat::new);
        Self {
            generation,
            signal_threshold,
            champion: seats.next().expect("a lineup has a champion"),
            shadows: seats.collect(),
        }
    }
}

impl Seat {
    fn new(member: &Member) -> Self {
        let model = &member.model;
        Self {
            cells: member.cells,
            warm_up_updates: warm_up_of(model.features()),
            horizon: HorizonWatch::new(model.features(), model.contract().window),
            predictor: model.warm_predictor(),
        }
    }

    /// The row that the model is to predict from, if it is one, and whether it looks further into the book than the book
    /// is known. To be called for every update.
    #[inline]
    pub(super) fn look<'f>(&mut self, features: &'f FeatureEngine) -> (Option<&'f FeatureVector>, bool) {
        let beyond_horizon = self.horizon.observe(features.known_levels());
        let row = features.row_after(self.warm_up_updates);
        if row.is_none() {
            self.predictor.reset();
        }
        (row, beyond_horizon)
    }
}

/// Who is to take over an instrument.
#[derive(Debug)]
struct Understudy {
    /// Its own, where the present ones lack something.
    features: Option<FeatureEngine>,
    seats: Seats,
    /// Updates that it has seen.
    rehearsed: u32,
    /// It has taken over; what is here now has left.
    has_left: bool,
}

impl Understudy {
    /// Follows an update, unheard. Whether the champion could speak from the next one on.
    fn rehearse(&mut self, present: &FeatureEngine, update: &BookUpdate<'_>, failed: &mut impl FnMut(usize)) -> bool {
        let features = match &mut self.features {
            Some(own) => {
                own.on_book(update);
                &*own
            }
            None => present,
        };
        self.rehearsed = self.rehearsed.saturating_add(1);
        let Seats { champion, shadows, .. } = &mut self.seats;
        let mut follow = |seat: &mut Seat| {
            let Some(row) = seat.look(features).0 else { return false };
            let answer = seat.predictor.predict(row, &mut model::Prediction::default());
            if answer.is_err() {
                failed(seat.cells);
            }
            matches!(answer, Ok(Answer::Ready))
        };
        let can_speak = follow(champion);
        for shadow in shadows {
            follow(shadow);
        }
        // With features of long standing it could speak at once, but would not know whether some of what they remember lay
        // beyond the horizon of the book.
        can_speak && self.rehearsed >= u32::from(self.seats.champion.warm_up_updates)
    }
}
