//! The list of features: an identity, not a configuration.
//!
//! A model is trained on some of these names at some versions. Whoever changes what a feature computes raises its
//! version, and every model that was trained on the older one is refused at load instead of being fed other numbers
//! under the old name. New features go to the end; the order is part of the [`SCHEMA_HASH`].
//!
//! Notation: `b`, `a` best bid and ask price; `q_b(l)`, `q_a(l)` the quantity at level `l` of a side, level 1 best;
//! `m = (b + a) / 2`; `e_l` the order flow of level `l` in one update (see [`Feature::Ofi1Last`]); times are the
//! venue's. "Ticks" are the price step that the instrument has shown so far: the greatest common divisor of its
//! prices, since the decimals on the wire need not be those of the tick. Lots are units in the last decimal of quantities
//! that the instrument uses.
//!
//! What is not here: the micro-price of Stoikov (2018) and the integrated order flow of Cont, Cucuringu and Zhang (its
//! first principal component) rest on tables that are fitted offline for one instrument; there is nothing to compute
//! without them. Their closed forms are: `microprice_ticks`, and the sums over levels.

/// Which part of the market a feature speaks of; the label `feature_type` of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeatureGroup {
    /// The book as it stands.
    Book,
    /// How the book changed.
    OrderFlow,
    /// Trades.
    TradeFlow,
    /// Where the mid price went.
    Price,
}

impl FeatureGroup {
    /// Every group.
    pub const ALL: [Self; 4] = [Self::Book, Self::OrderFlow, Self::TradeFlow, Self::Price];

    /// The name in metrics labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::OrderFlow => "order_flow",
            Self::TradeFlow => "trade_flow",
            Self::Price => "price",
        }
    }
}

/// What is known about one feature without computing it.
#[derive(Clone, Copy, Debug)]
pub struct FeatureDef {
    /// Its place in the row.
    pub feature: Feature,
    /// Its name in contracts, tables and logs.
    pub name: &'static str,
    /// Raised whenever the numbers change.
    pub version: u16,
    /// The unit of the value.
    pub unit: &'static str,
    /// Which part of the market it speaks of.
    pub group: FeatureGroup,
    /// How many levels of each side it looks at; 0 where it looks at none.
    pub reach_levels: u8,
    /// Book updates after a snapshot, the snapshot included, before it means what it says.
    pub warm_up_updates: u16,
    /// Formula and source.
    pub formula: &'static str,
}

macro_rules! features {
    ($($id:ident $name:literal v $version:literal, $unit:literal, $group:ident, reach $reach:literal, warm_up $warm_up:literal: $formula:literal;)*) => {
        /// One feature; its discriminant is its place in the row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Feature {
            $(#[doc = concat!("`", $name, "`, ", $unit, ": ", $formula)] $id,)*
        }

        /// Every feature, in the order of the row.
        pub const FEATURES: [FeatureDef; FEATURE_COUNT] = [
            $(FeatureDef {
                feature: Feature::$id,
                name: $name,
                version: $version,
                unit: $unit,
                group: FeatureGroup::$group,
                reach_levels: $reach,
                warm_up_updates: $warm_up,
                formula: $formula,
            },)*
        ];

        /// How many features there are.
        pub const FEATURE_COUNT: usize = [$($warm_up as u16,)*].len();
    };
}

features! {
    SpreadTicks "spread_ticks" v 1, "ticks", Book, reach 1, warm_up 1:
        "(a - b) / tick";
    SpreadBps "spread_bps" v 1, "basis points of the mid price", Book, reach 1, warm_up 1:
        "1e4 (a - b) / m";
    MicropriceTicks "microprice_ticks" v 1, "ticks from the mid price", Book, reach 1, warm_up 1:
        "((a q_b(1) + b q_a(1)) / (q_b(1) + q_a(1)) - m) / tick, the size-weighted mid price; Gatheral and Oomen 2009";
    QueueImbalance "queue_imbalance" v 1, "-1..1", Book, reach 1, warm_up 1:
        "(q_b(1) - q_a(1)) / (q_b(1) + q_a(1)); Gould and Bonart 2015, arXiv:1512.03492";
    Imbalance3 "imbalance_3" v 1, "-1..1", Book, reach 3, warm_up 1:
        "(B - A) / (B + A), B and A the quantities of the best 3 levels";
    Imbalance5 "imbalance_5" v 1, "-1..1", Book, reach 5, warm_up 1:
        "(B - A) / (B + A), B and A the quantities of the best 5 levels";
    Imbalance10 "imbalance_10" v 1, "-1..1", Book, reach 10, warm_up 1:
        "(B - A) / (B + A), B and A the quantities of the best 10 levels";
    ImbalanceExp10 "imbalance_exp_10" v 1, "-1..1", Book, reach 10, warm_up 1:
        "(B - A) / (B + A), B and A the quantities of the best 10 levels, level l weighted by exp(-(l - 1) / 2)";
    GapImbalance "gap_imbalance" v 1, "-1..1", Book, reach 2, warm_up 1:
        "(g_a - g_b) / (g_a + g_b), g the distance from the best to the second level; 0 where a side has no second";
    DistanceImbalance10 "distance_imbalance_10" v 1, "-1..1", Book, reach 10, warm_up 1:
        "(d_a - d_b) / (d_a + d_b), d the quantity-weighted mean distance of the best 10 levels of a side from m";
    TouchShare10 "touch_share_10" v 1, "0..1", Book, reach 10, warm_up 1:
        "(q_b(1) + q_a(1)) / the quantities of the best 10 levels of both sides";
    DepthChange50 "depth_change_50" v 1, "-1..1", Book, reach 10, warm_up 51:
        "(D - M) / (D + M), D the quantities of the best 10 levels of both sides, M their mean over 50 updates";
    Ofi1Last "ofi_1_last" v 1, "mean queues", OrderFlow, reach 5, warm_up 11:
        "e_1 / Q(5, 10). e_l = dW - dV: dW = q_b if level l's bid price rose, -q_b' if it fell, q_b - q_b' otherwise (' = \
         before); dV alike for asks with the directions swapped. Q(n, w) = mean of (q_b + q_a) / 2 over the best n levels \
         and w updates. Cont, Kukanov and Stoikov 2014, arXiv:1011.6402; levels: Xu, Gould and Howison 2018, \
         arXiv:1907.06230; Q: Cont, Cucuringu and Zhang, arXiv:2112.13213";
    Ofi1W10 "ofi_1_10" v 1, "mean queues", OrderFlow, reach 5, warm_up 11:
        "sum of e_1 over 10 updates / Q(5, 10)";
    Ofi2W10 "ofi_2_10" v 1, "mean queues", OrderFlow, reach 5, warm_up 11:
        "sum of e_2 over 10 updates / Q(5, 10)";
    Ofi3W10 "ofi_3_10" v 1, "mean queues", OrderFlow, reach 5, warm_up 11:
        "sum of e_3 over 10 updates / Q(5, 10)";
    Ofi4W10 "ofi_4_10" v 1, "mean queues", OrderFlow, reach 5, warm_up 11:
        "sum of e_4 over 10 updates / Q(5, 10)";
    Ofi5W10 "ofi_5_10" v 1, "mean queues", OrderFlow, reach 5, warm_up 11:
        "sum of e_5 over 10 updates / Q(5, 10)";
    Ofi1W50 "ofi_1_50" v 1, "mean queues", OrderFlow, reach 5, warm_up 51:
        "sum of e_1 over 50 updates / Q(5, 50)";
    OfiTo5W50 "ofi_to_5_50" v 1, "mean queues", OrderFlow, reach 5, warm_up 51:
        "sum of e_1 + .. + e_5 over 50 updates / Q(5, 50)";
    OfiTo10W50 "ofi_to_10_50" v 1, "mean queues", OrderFlow, reach 10, warm_up 51:
        "sum of e_1 + .. + e_10 over 50 updates / Q(10, 50)";
    TradeImbalance20 "trade_imbalance_20" v 1, "-1..1", TradeFlow, reach 0, warm_up 1:
        "sum of s v / sum of v over the last 20 trades since the snapshot, s = +1 where the buyer took; 0 without a trade";
    TradeImbalance100 "trade_imbalance_100" v 1, "-1..1", TradeFlow, reach 0, warm_up 1:
        "the same over the last 100 trades";
    TradeImbalance1s "trade_imbalance_1s" v 1, "-1..1", TradeFlow, reach 0, warm_up 1:
        "the same over 1 s of venue time, at most the last 4,096 trades";
    TradeImbalance10s "trade_imbalance_10s" v 1, "-1..1", TradeFlow, reach 0, warm_up 1:
        "the same over 10 s of venue time, at most the last 4,096 trades";
    Vwap20Bps "vwap_20_bps" v 1, "basis points of the mid price", TradeFlow, reach 1, warm_up 1:
        "1e4 (sum of p v / sum of v - m) / m over the last 20 trades since the snapshot; 0 without a trade";
    Return10Bps "return_10_bps" v 1, "basis points", Price, reach 1, warm_up 11:
        "1e4 (m / m' - 1), m' the mid price 10 updates ago";
    Return50Bps "return_50_bps" v 1, "basis points", Price, reach 1, warm_up 51:
        "1e4 (m / m' - 1), m' the mid price 50 updates ago";
    Return1sBps "return_1s_bps" v 1, "basis points", Price, reach 1, warm_up 2:
        "1e4 (m / M - 1), M the average of m that closes dt / (1 s + dt) of its distance to m with each update";
    Volatility1sBps "volatility_1s_bps" v 1, "basis points per square root of a second", Price, reach 1, warm_up 11:
        "1e4 sqrt(S / W), S = k S + r^2 / (tau + dt), W = k W + dt / (tau + dt), k = tau / (tau + dt), tau = 1 s: an \
         exponential average of the variance rate over irregular times, its weight 1 / (1 + dt / tau) in place of \
         exp(-dt / tau) (the two agree to first order, and this one is the same on every machine); W removes the start \
         from zero";
    Volatility30sBps "volatility_30s_bps" v 1, "basis points per square root of a second", Price, reach 1, warm_up 101:
        "the same with tau = 30 s";
    Volatility100Bps "volatility_100_bps" v 1, "basis points", Price, reach 1, warm_up 101:
        "1e4 sqrt(sum of (m - m')^2 over 100 updates) / m";
    Imbalance10Ticks "imbalance_10_ticks" v 1, "-1..1", Book, reach 10, warm_up 1:
        "(B - A) / (B + A), B and A the quantities less than 10 ticks from their side's best price: at most the best 10 levels, \
         and fewer where the book has holes";
    NearShare10Ticks "near_share_10_ticks" v 1, "0..1", Book, reach 10, warm_up 1:
        "(B + A) / the quantities of the best 10 levels of both sides, B and A as in imbalance_10_ticks: 1 in a book without \
         holes";
    Slope10 "slope_10" v 1, "1 / relative price", Book, reach 10, warm_up 1:
        "(s_b + s_a) / 2, s of one side = (v_1 / |p_1 / m - 1| + sum over i of (v_(i+1) / v_i - 1) / |p_(i+1) / p_i - 1|) / N, \
         v_i = ln of the lots of the best i levels, N the levels that there are, at most 10; terms with v_i = 0 (one lot) are \
         left out; ln by a series of our own, the same on every machine. Naes and Skjeltorp 2006";
    SlopeImbalance10 "slope_imbalance_10" v 1, "-1..1", Book, reach 10, warm_up 1:
        "(s_b - s_a) / (s_b + s_a), s as in slope_10";
    OfiTo10W10 "ofi_to_10_10" v 1, "mean queues", OrderFlow, reach 10, warm_up 11:
        "sum of e_1 + .. + e_10 over 10 updates / Q(10, 10)";
    Ofi1T1s "ofi_1_1s" v 1, "mean queues", OrderFlow, reach 5, warm_up 257:
        "sum of e_1 / Q(5, w), over the w updates of the last 1 s of venue time, the newest 256 at most";
    OfiTo10T1s "ofi_to_10_1s" v 1, "mean queues", OrderFlow, reach 10, warm_up 257:
        "sum of e_1 + .. + e_10 / Q(10, w), over the w updates of the last 1 s of venue time, the newest 256 at most";
    Ofi1T5s "ofi_1_5s" v 1, "mean queues", OrderFlow, reach 5, warm_up 257:
        "ofi_1_1s over 5 s";
    OfiTo10T5s "ofi_to_10_5s" v 1, "mean queues", OrderFlow, reach 10, warm_up 257:
        "ofi_to_10_1s over 5 s";
    Vwap10sBps "vwap_10s_bps" v 1, "basis points of the mid price", TradeFlow, reach 1, warm_up 1:
        "1e4 (sum of p v / sum of v - m) / m over the trades of the last 10 s of venue time, the newest 4,096 at most; 0 without \
         a trade";
    Vwap60sBps "vwap_60s_bps" v 1, "basis points of the mid price", TradeFlow, reach 1, warm_up 1:
        "the same over 60 s";
    Vpin50 "vpin_50" v 1, "0..1", TradeFlow, reach 0, warm_up 1:
        "sum of |bought - sold| / sum of V over the last 50 buckets of trades since the snapshot, or as many as were filled; a \
         bucket holds V = 10 times the mean quantity of the last 100 trades, rounded down to lots and fixed when it opens; a \
         trade is split at its border; 0 before the first is full. Easley, Lopez de Prado and O'Hara 2012, with the venue's own \
         sides in place of bulk classification; critique: Andersen and Bondarenko 2014 (much of it is volume itself)";
    Return10sBps "return_10s_bps" v 1, "basis points", Price, reach 1, warm_up 2:
        "return_1s_bps with 10 s";
    Return60sBps "return_60s_bps" v 1, "basis points", Price, reach 1, warm_up 2:
        "return_1s_bps with 60 s";
    VolatilityEwmBps "volatility_ewm_bps" v 1, "basis points per square root of an update", Price, reach 1, warm_up 101:
        "1e4 sqrt(S / W), S = 0.97 S + 0.03 r^2 with each update, W = 0.97 W + 0.03: RiskMetrics 1996, W removes the start from \
         zero";
    Volatility5sSumBps "volatility_5s_sum_bps" v 1, "basis points", Price, reach 1, warm_up 257:
        "1e4 sqrt(sum of (m - m')^2) / m over the updates of the last 5 s of venue time, the newest 256 at most";
    SemivarianceImbalance100 "semivariance_imbalance_100" v 1, "-1..1", Price, reach 1, warm_up 101:
        "(U - D) / (U + D), U the sum of (m - m')^2 over the updates of the last 100 that went up, D over those that went down; \
         0 where none did. Barndorff-Nielsen, Kinnebrock and Shephard 2010";
    Ema12Bps "ema_12_bps" v 1, "basis points", Price, reach 1, warm_up 120:
        "1e4 (m / EMA - 1), EMA over the closes c of bars of 10 updates since the snapshot: EMA += (c - EMA) 2 / 13, begun from \
         the mean of the first 12, as TA-Lib does";
    Ema26Bps "ema_26_bps" v 1, "basis points", Price, reach 1, warm_up 260:
        "the same over 26 bars, 2 / 27";
    MacdBps "macd_bps" v 1, "basis points of the mid price", Price, reach 1, warm_up 340:
        "1e4 L / m, L = EMA(12) - EMA(26) of the closes of bars of 10 updates, EMA(12) begun from bars 15 to 26; TA-Lib's MACD";
    MacdSignalBps "macd_signal_bps" v 1, "basis points of the mid price", Price, reach 1, warm_up 340:
        "1e4 G / m, G = EMA(9) of L of macd_bps";
    MacdHistogramBps "macd_histogram_bps" v 1, "basis points of the mid price", Price, reach 1, warm_up 340:
        "1e4 (L - G) / m";
    Rsi14 "rsi_14" v 1, "-1..1", Price, reach 1, warm_up 150:
        "RSI / 50 - 1, RSI of Wilder (1978) over 14 moves of the closes of bars of 10 updates, begun from their mean as TA-Lib \
         does: (U - D) / (U + D) with U = (13 U + max(move, 0)) / 14, D likewise; 0 where nothing moved";
    Bollinger20 "bollinger_20" v 1, "standard deviations", Price, reach 1, warm_up 200:
        "(m - M) / s, M and s mean and population standard deviation of the last 20 closes of bars of 10 updates: the bands of \
         TA-Lib lie at -2 and 2; 0 where s = 0";
    BollingerWidth20Bps "bollinger_width_20_bps" v 1, "basis points", Price, reach 1, warm_up 200:
        "1e4 4 s / M, from the lower band to the upper";
    BarVolatility30Bps "bar_volatility_30_bps" v 1, "basis points", Price, reach 1, warm_up 310:
        "1e4 sqrt(sum of (c - c')^2 over the last 30 moves of closes of bars of 10 updates) / m: slower, and less of the bouncing \
         between bid and ask, than volatility_100_bps";
    JumpShare30 "jump_share_30" v 1, "0..1", Price, reach 1, warm_up 310:
        "max(0, 1 - B / R), R the sum of d^2 and B = (pi / 2) (30 / 29) the sum of |d d'| over the same moves d, d' the one before: \
         how much of the variation was jumps; 0 where nothing moved. Barndorff-Nielsen and Shephard 2004";
}

impl Feature {
    /// What is known about it.
    pub const fn def(self) -> &'static FeatureDef {
        &FEATURES[self as usize]
    }

    /// The feature of that name, at whatever version is current.
    pub fn from_name(name: &str) -> Option<Self> {
        FEATURES.iter().find(|def| def.name == name).map(|def| def.feature)
    }
}

/// Book updates after a snapshot, the snapshot included, before there is a row.
///
/// Some features need more: in the rows until then they are 0, and who looks at one waits for it ([`warm_up_of`]), so that
/// it delays nobody else.
pub const WARM_UP_UPDATES: u16 = 101;

/// Book updates after a snapshot, the snapshot included, before a row means what it says to one who looks at these
/// features.
pub fn warm_up_of(features: impl IntoIterator<Item = Feature>) -> u16 {
    let own = features.into_iter().map(|feature| feature.def().warm_up_updates);
    own.max().unwrap_or(0).max(WARM_UP_UPDATES)
}

/// So many features, the first ones, stand in every row; the others in those of an engine that was asked for them.
pub const BASE_FEATURES: usize = 32;

/// The base is warm when there is a row.
const _: () = {
    let mut index = 0;
    while index < BASE_FEATURES {
        assert!(FEATURES[index].warm_up_updates <= WARM_UP_UPDATES);
        index += 1;
    }
};

/// How many levels of each side the features look at.
pub const REACH_MAX: usize = {
    let mut deepest = 0;
    let mut index = 0;
    while index < FEATURE_COUNT {
        if FEATURES[index].reach_levels > deepest {
            deepest = FEATURES[index].reach_levels;
        }
        index += 1;
    }
    deepest as usize
};

/// FNV-1a over `name:version` and a newline for each feature in order: two engines with the same hash give a model the
/// same numbers.
pub const SCHEMA_HASH: u64 = {
    let mut hash = FNV_OFFSET;
    let mut index = 0;
    while index < FEATURE_COUNT {
        hash = fnv1a(hash, FEATURES[index].name.as_bytes());
        hash = fnv1a(hash, b":");
        let version = FEATURES[index].version;
        let digits = [
            b'0' + (version / 10_000 % 10) as u8,
            b'0' + (version / 1_000 % 10) as u8,
            b'0' + (version / 100 % 10) as u8,
            b'0' + (version / 10 % 10) as u8,
            b'0' + (version % 10) as u8,
        ];
        // No leading zeros, so that the text is the one of a table's header.
        let mut start = 0;
        while start < 4 && digits[start] == b'0' {
            start += 1;
        }
        while start < 5 {
            hash = fnv1a(hash, &[digits[start]]);
            start += 1;
        }
        hash = fnv1a(hash, b"\n");
        index += 1;
    }
    hash
};

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

const fn fnv1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(FNV_PRIME);
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_found_at_its_own_place_and_by_its_own_name() {
        for (index, def) in FEATURES.iter().enumerate() {
            assert_eq!(def.feature as usize, index);
            assert_eq!(Feature::from_name(def.name), Some(def.feature));
            assert!(
                def.name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{}",
                def.name
            );
            assert!(def.version >= 1 && def.warm_up_updates >= 1);
        }
        assert_eq!(Feature::from_name("spread"), None);
    }

    /// `docs/features.md` is for those who choose features; its table is written from here and must stay so.
    #[test]
    fn the_documentation_lists_every_feature_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/features.md");
        let text = std::fs::read_to_string(path).expect("the documentation is there");
        let documented: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = FEATURES.iter().map(line_of).collect();
        assert!(
            documented == expected,
            "the table of {path} should be\n{}",
            expected.join("\n")
        );
    }

    fn line_of(def: &FeatureDef) -> String {
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            def.name,
            def.version,
            def.group.name(),
            def.unit,
            def.reach_levels,
            def.warm_up_updates,
            def.formula.replace('|', "\\|")
        )
    }

    #[test]
    fn the_schema_hash_is_the_hash_of_the_header_text() {
        let text: String = FEATURES
            .iter()
            .map(|def| format!("{}:{}\n", def.name, def.version))
            .collect();
        assert_eq!(SCHEMA_HASH, fnv1a(FNV_OFFSET, text.as_bytes()));
        // The published test vector of FNV-1a 64.
        assert_eq!(fnv1a(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }
}
