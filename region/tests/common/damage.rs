//! Damage to a good region by someone who knows the format: fields of the header, sections, descriptors, texts, live words,
//! events, histograms. Shared with the fuzz target `region_structure`, which makes the choices from its input.

/// Hurts a region as `pick` chooses (`pick(n)` is less than `n`), and mostly signs the header anew.
pub fn damage(bytes: &mut Vec<u8>, pick: &mut dyn FnMut(u64) -> u64) {
    let map = Map::of(bytes);
    for _ in 0..=pick(4) {
        match pick(11) {
            0 => field(bytes, 0, &HEADER, pick),
            1 => sections(bytes, pick),
            2 => field(bytes, map.live, &LIVE, pick),
            3 => field(bytes, map.desc + pick(16) as usize * 64, &DESCRIPTOR, pick),
            4 => shape(bytes, map.desc + pick(16) as usize * 64, pick),
            5 => field(bytes, map.labels + pick(16) as usize * 16, &LABEL, pick),
            6 => text(bytes, map.strings, pick),
            7 => meanings(bytes, &map, pick),
            8 => events(bytes, &map, pick),
            9 => field(bytes, map.hist, &HISTOGRAM, pick),
            _ => anywhere(bytes, pick),
        }
    }
    if pick(16) == 0 {
        let len = pick(2 * bytes.len() as u64) as usize;
        bytes.resize(len.max(256), 0);
        let len = bytes.len() as u64;
        put(bytes, 24, 8, len);
    }
    if pick(8) > 0 {
        super::sign(bytes);
    }
}

/// Offsets and widths of the fields from which a reader concludes something.
const HEADER: [(usize, usize); 14] = [
    (0, 8),
    (8, 4),
    (12, 2),
    (14, 2),
    (16, 4),
    (24, 8),
    (32, 8),
    (40, 8),
    (192, 4),
    (196, 4),
    (204, 4),
    (208, 4),
    (212, 4),
    (216, 4),
];
/// State, descriptors, strings, labels, panic text, kinds, subjects.
const LIVE: [(usize, usize); 8] = [(0, 8), (32, 8), (40, 8), (48, 8), (64, 8), (72, 8), (96, 8), (104, 8)];
const DESCRIPTOR: [(usize, usize); 15] = [
    (0, 1),
    (1, 1),
    (2, 1),
    (3, 1),
    (4, 4),
    (8, 4),
    (12, 4),
    (16, 2),
    (18, 2),
    (20, 2),
    (22, 2),
    (24, 4),
    (32, 8),
    (56, 4),
    (60, 2),
];
const LABEL: [(usize, usize); 4] = [(0, 4), (4, 2), (6, 2), (8, 4)];
/// Of a kind of event; those of a number of it start at 16 and at 32.
const EVENT_KIND: [(usize, usize); 10] = [
    (0, 4),
    (4, 4),
    (8, 2),
    (10, 2),
    (16, 4),
    (20, 4),
    (24, 2),
    (26, 2),
    (28, 1),
    (29, 1),
];
/// Begin, end, sum, maximum, clipped, and the first buckets.
const HISTOGRAM: [(usize, usize); 7] = [(0, 8), (8, 8), (16, 8), (24, 8), (32, 8), (64, 8), (72, 8)];
const SECTION: [(usize, usize); 5] = [(0, 4), (8, 8), (16, 8), (24, 4), (28, 4)];

/// Where the sections of an unhurt region lie.
struct Map {
    live: usize,
    desc: usize,
    strings: usize,
    labels: usize,
    writer: usize,
    hist: usize,
    kinds: usize,
    subjects: usize,
    events: usize,
}

impl Map {
    fn of(bytes: &[u8]) -> Self {
        let at = |kind: u64| {
            let entries = (0..get(bytes, 208, 4) as usize).map(|i| 256 + i * 32);
            let mut found = entries.filter(|&entry| get(bytes, entry, 4) == kind);
            found.next().map_or(4096, |entry| get(bytes, entry + 8, 8) as usize)
        };
        Self {
            desc: at(1),
            strings: at(2),
            labels: at(3),
            live: at(4),
            writer: at(5),
            hist: at(6),
            events: at(8),
            kinds: at(9),
            subjects: at(10),
        }
    }
}

/// Gives one of these fields another number.
fn field(bytes: &mut [u8], base: usize, fields: &[(usize, usize)], pick: &mut dyn FnMut(u64) -> u64) {
    let (off, width) = fields[pick(fields.len() as u64) as usize];
    let value = number(get(bytes, base + off, width), bytes.len(), pick);
    put(bytes, base + off, width, value);
}

/// The edges of what a number can be, numbers near its own, and numbers from elsewhere in the file.
fn number(own: u64, file_len: usize, pick: &mut dyn FnMut(u64) -> u64) -> u64 {
    match pick(8) {
        0 => 0,
        1 => u64::MAX - pick(9),
        2 => 1 << pick(64),
        3 => (1_u64 << pick(64)).wrapping_sub(1),
        4 => own.wrapping_add(1 + pick(9)),
        5 => own.wrapping_sub(1 + pick(9)),
        6 => (file_len as u64).wrapping_sub(pick(128)),
        _ => pick(1 << 16),
    }
}

/// A number of a section, or one entry in the place of another.
fn sections(bytes: &mut [u8], pick: &mut dyn FnMut(u64) -> u64) {
    let entry = |pick: &mut dyn FnMut(u64) -> u64| 256 + pick(11) as usize * 32;
    let at = entry(pick);
    if pick(4) == 0 {
        let from = entry(pick);
        if from.max(at) + 32 <= bytes.len() {
            bytes.copy_within(from..from + 32, at);
        }
    } else {
        field(bytes, at, &SECTION, pick);
    }
}

/// Another histogram: kind, precision, range and width of a count.
fn shape(bytes: &mut [u8], descriptor: usize, pick: &mut dyn FnMut(u64) -> u64) {
    if pick(2) == 0 {
        put(bytes, descriptor, 1, 4);
    }
    put(bytes, descriptor + 28, 1, pick(16));
    put(bytes, descriptor + 29, 1, pick(80));
    if pick(4) == 0 {
        put(bytes, descriptor + 30, 1, pick(10));
    }
}

/// Bytes that are no text, control characters, a separator.
fn text(bytes: &mut [u8], strings: usize, pick: &mut dyn FnMut(u64) -> u64) {
    let byte = [0xFF_u8, 0xC3, 0, 0x1B, b'\n', b'|', b'"', b' '][pick(8) as usize];
    put(bytes, strings + pick(4096) as usize, 1, u64::from(byte));
}

/// An entry of what the events mean.
fn meanings(bytes: &mut [u8], map: &Map, pick: &mut dyn FnMut(u64) -> u64) {
    if pick(2) == 0 {
        let second_number = pick(2) as usize * 16;
        field(
            bytes,
            map.kinds + pick(20) as usize * 48 + second_number,
            &EVENT_KIND,
            pick,
        );
    } else {
        field(bytes, map.subjects + pick(4) as usize * 8, &[(0, 4), (4, 2)], pick);
    }
}

/// A stamp, a word of an event, or how many there are; as many as fit the cursor, so that most are still read.
fn events(bytes: &mut [u8], map: &Map, pick: &mut dyn FnMut(u64) -> u64) {
    match pick(3) {
        0 => field(bytes, map.writer, &[(80, 8), (32, 8), (0, 8), (8, 8)], pick),
        1 => field(
            bytes,
            map.events + pick(8) as usize * 64,
            &[(0, 8), (16, 4), (20, 4)],
            pick,
        ),
        _ => {
            // A ring that has gone round very often: stamps and cursor agree.
            let recorded = number(8, bytes.len(), pick);
            put(bytes, map.writer + 80, 8, recorded);
            for sequence in recorded.saturating_sub(8)..recorded {
                let slot = map.events + (sequence % 8) as usize * 64;
                put(bytes, slot, 8, sequence.wrapping_mul(2).wrapping_add(2));
            }
        }
    }
}

fn anywhere(bytes: &mut [u8], pick: &mut dyn FnMut(u64) -> u64) {
    let at = pick(bytes.len() as u64) as usize;
    put(bytes, at, 1, pick(256));
}

fn get(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut value = [0; 8];
    if let Some(field) = bytes.get(at..at + width) {
        value[..width].copy_from_slice(field);
    }
    u64::from_le_bytes(value)
}

fn put(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    if let Some(field) = bytes.get_mut(at..at + width) {
        field.copy_from_slice(&value.to_le_bytes()[..width]);
    }
}
