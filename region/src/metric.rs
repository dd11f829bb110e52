//! What a metric is: its kind, unit and scale, how the values of several threads become one, and its one sentence.

use crate::layout::Shape;

macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $number,)* }

        impl $name {
            /// The one with that number in a file.
            pub fn from_wire(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// Its name in dumps and JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

wire_enum! {
    /// What a cell holds.
    Kind {
        /// A `u64` that only grows.
        Counter = 1, "counter";
        /// An `i64`.
        GaugeI64 = 2, "gauge_i64";
        /// An `f64`; NaN while it is not known.
        GaugeF64 = 3, "gauge_f64";
        /// A block of buckets.
        Histogram = 4, "histogram";
        /// An index into the metric's state names.
        State = 5, "state";
        /// A point in time, zero while it is not known.
        Timestamp = 6, "timestamp";
        /// One; what it says stands in the labels.
        Info = 7, "info";
    }
}

wire_enum! {
    /// The base unit, after scaling.
    Unit {
        /// A count of what the name says.
        None = 0, "none";
        /// Seconds.
        Seconds = 1, "seconds";
        /// Bytes.
        Bytes = 2, "bytes";
        /// A share of one.
        Ratio = 3, "ratio";
        /// The quote currency of the symbol.
        Price = 4, "price";
    }
}

wire_enum! {
    /// How the values that several threads keep of one series become one.
    Agg {
        /// Add them.
        Sum = 0, "sum";
        /// Take the smallest.
        Min = 1, "min";
        /// Take the largest.
        Max = 2, "max";
        /// Take that of the series registered last.
        Last = 3, "last";
        /// Keep them apart, by a label `writer` that names the thread.
        PerWriter = 4, "per_writer";
    }
}

/// A metric's declaration. The catalogue holds one of each; a series is a metric with values for its labels.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name that Prometheus sees.
    pub name: &'static str,
    /// One sentence for the reader of a dashboard.
    pub help: &'static str,
    /// What a cell holds.
    pub kind: Kind,
    /// The base unit.
    pub unit: Unit,
    /// Power of ten from the stored value to the base unit.
    pub scale: i8,
    /// How the threads' values become one.
    pub agg: Agg,
    /// Names of the labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// Names of the states, by number.
    pub states: &'static [&'static str],
    /// How the values of a histogram map to buckets.
    pub shape: Option<Shape>,
}

impl Metric {
    const fn new(name: &'static str, kind: Kind, agg: Agg) -> Self {
        Self {
            name,
            help: "",
            kind,
            unit: Unit::None,
            scale: 0,
            agg,
            labels: &[],
            states: &[],
            shape: None,
        }
    }

    /// A `u64` that only grows; its name ends in `_total`.
    pub const fn counter(name: &'static str) -> Self {
        Self::new(name, Kind::Counter, Agg::Sum)
    }

    /// An `i64`, added up over threads.
    pub const fn gauge_i64(name: &'static str) -> Self {
        Self::new(name, Kind::GaugeI64, Agg::Sum)
    }

    /// An `f64`; the series registered last is shown.
    pub const fn gauge_f64(name: &'static str) -> Self {
        Self::new(name, Kind::GaugeF64, Agg::Last)
    }

    /// One of a few named states; of several threads the largest number (the worst) is shown.
    pub const fn state(name: &'static str, states: &'static [&'static str]) -> Self {
        let mut metric = Self::new(name, Kind::State, Agg::Max);
        metric.states = states;
        metric
    }

    /// A point in time, kept in nanoseconds since the Unix epoch; the latest is shown.
    pub const fn timestamp(name: &'static str) -> Self {
        Self::new(name, Kind::Timestamp, Agg::Max).unit(Unit::Seconds, -9)
    }

    /// The constant one; its labels are what it says.
    pub const fn info(name: &'static str) -> Self {
        Self::new(name, Kind::Info, Agg::Last)
    }

    /// A histogram of nanoseconds, shown in seconds.
    pub const fn latency(name: &'static str) -> Self {
        Self::histogram(name, Shape::LATENCY_NS).unit(Unit::Seconds, -9)
    }

    /// A histogram of raw integers.
    pub const fn histogram(name: &'static str, shape: Shape) -> Self {
        let mut metric = Self::new(name, Kind::Histogram, Agg::Sum);
        metric.shape = Some(shape);
        metric
    }

    /// With this base unit, reached from the stored value by `10^scale`.
    pub const fn unit(mut self, unit: Unit, scale: i8) -> Self {
        self.unit = unit;
        self.scale = scale;
        self
    }

    /// With this rule for several threads.
    pub const fn agg(mut self, agg: Agg) -> Self {
        self.agg = agg;
        self
    }

    /// With these labels.
    pub const fn labels(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }

    /// With this sentence.
    pub const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }
}

/// A stored value in the base unit: `raw * 10^scale`.
///
/// Divides by a power of ten rather than multiplying by its inverse, which has no exact double.
pub fn to_base(raw: f64, scale: i8) -> f64 {
    let power = 10f64.powi(i32::from(scale).abs());
    if scale < 0 { raw / power } else { raw * power }
}

/// Whether Prometheus takes it for a metric's name.
pub(crate) fn is_metric_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// Whether Prometheus takes it for a label's name.
pub(crate) fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}
