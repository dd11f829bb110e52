//! One side of a book: quantities by price in a page table, found by index, ordered by bitmaps.
//!
//! Prices are treated as the operating system treats addresses. A window of 2^24 consecutive keys (one key is one unit
//! of the price mantissa) is cut into 64 regions of 64 blocks of 64 pages of 64 ticks:
//!
//! ```text
//!  key - base      23....18 17....12 11.....6 5......0
//!                  region   block    page     tick
//!  summary: u64 ──▶ regions[64] ──▶ block_bits[slot] ──▶ page_bits[slot]     "is there anything below?", one bit each
//!                   roots[4096] ──▶ block_pages[slot] ─▶ page_quantities[slot]          where it is, a u16 slot each
//! ```
//!
//! Blocks and pages exist only where levels are. They live in two pools and go back to a free list when their last
//! level goes; slot 0 of each pool is the empty one that everything unmapped points to, so that a lookup has no branch.
//! A free page holds only zeros, so that mapping one writes nothing into it.
//!
//! Keys outside the window go to `far`, a small array in order of the key. The window is laid around the first level of
//! an empty side and reaches 8.4 million ticks to both sides of it: 83,886.08 USD at a tick of one cent. If a market
//! ever leaves it, the side is laid out anew around its best level, after so many slow operations that the move is paid.
//!
//! The ladder knows nothing of bids and asks: the best level is the one with the highest key.

/// Keys that the page table can hold at one time.
const WINDOW: u64 = 1 << 24;
/// Index of the page after the last of the window.
const PAGES_END: usize = 1 << 18;
/// The slot of the empty block and of the empty page.
const NONE: usize = 0;
/// Far operations that must come before a new layout is considered, at least.
const FAR_PATIENCE: usize = 1024;

/// The most levels that a ladder can be told to hold: a page each, and slots are 16 bits wide.
pub(super) const LEVELS_MAX: usize = u16::MAX as usize - 1;

/// The horizon of a side of which every level is known.
pub(super) const ALL_KNOWN: i64 = i64::MIN;

#[derive(Clone)]
pub(super) struct Ladder {
    /// The key of tick 0 of page 0. Chosen so that `base + WINDOW - 1` does not overflow.
    base: i64,
    /// Levels in the window and in `far`.
    len: usize,
    /// More levels than this are never kept.
    level_limit: usize,
    /// Bit `r`: `regions[r] != 0`.
    summary: u64,
    /// Bit `b` of word `r`: block `64 r + b` is mapped.
    regions: Box<[u64; 64]>,
    /// Block to slot in `block_bits` and `block_pages`.
    roots: Box<[u16; 4096]>,
    /// Bit `p`: page `p` of the block in this slot is mapped.
    block_bits: Vec<u64>,
    /// Page to slot in `page_bits` and `page_quantities`.
    block_pages: Vec<[u16; 64]>,
    /// Bit `t`: tick `t` of the page in this slot holds a quantity.
    page_bits: Vec<u64>,
    /// What rests at each tick, zero where the bit is not set.
    page_quantities: Vec<[i64; 64]>,
    free_blocks: Vec<u16>,
    free_pages: Vec<u16>,
    /// `(key, quantity)` of the levels outside the window, highest key last.
    far: Vec<(i64, i64)>,
    /// Operations on `far` since the layout was last judged.
    far_operations: usize,
    /// Levels that were refused or removed because of `level_limit`.
    dropped: u64,
    /// How often the window was moved with levels in it.
    relayouts: u64,
    /// From this key up there is no level that the ladder was not told of or has given up.
    horizon: i64,
}

/// What a ladder holds and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LadderStats {
    pub(super) pages_mapped: usize,
    pub(super) far_levels: usize,
    pub(super) dropped: u64,
    pub(super) relayouts: u64,
    pub(super) bytes: usize,
}

impl Ladder {
    /// A side of at most `level_limit` levels, with pages for `page_count` of them ready and touched.
    pub(super) fn new(level_limit: usize, page_count: usize) -> Self {
        let level_limit = level_limit.min(LEVELS_MAX);
        let page_count = page_count.min(level_limit);
        let mut ladder = Self {
            base: 0,
            len: 0,
            level_limit,
            summary: 0,
            regions: Box::new([0; 64]),
            roots: Box::new([0; 4096]),
            block_bits: vec![0],
            block_pages: vec![[0; 64]],
            page_bits: vec![0],
            page_quantities: vec![[0; 64]],
            free_blocks: Vec::new(),
            free_pages: Vec::new(),
            far: Vec::new(),
            far_operations: 0,
            dropped: 0,
            relayouts: 0,
            horizon: ALL_KNOWN,
        };
        ladder.reserve(page_count);
        ladder
    }

    /// Makes sure that so many more levels need no memory, wherever they lie.
    pub(super) fn reserve(&mut self, page_count: usize) {
        self.add_pages(page_count.saturating_sub(self.free_pages.len()));
        // In the worst case every level lies in a block of its own, or outside the window.
        self.add_blocks(page_count.saturating_sub(self.free_blocks.len()));
        self.far.reserve(page_count);
    }

    /// Removes every level; keeps the memory, and the horizon.
    pub(super) fn clear(&mut self) {
        self.far.clear();
        self.far_operations = 0;
        while let Some(index) = self.first_page() {
            let (block, page) = self.slots(index << 6);
            // Only ticks whose bit is set can be other than zero.
            let mut bits = std::mem::take(&mut self.page_bits[page]);
            while bits != 0 {
                self.page_quantities[page][bits.trailing_zeros() as usize & 63] = 0;
                bits &= bits - 1;
            }
            self.unmap(index, block, page);
        }
        self.len = 0;
    }

    #[inline]
    pub(super) fn horizon(&self) -> i64 {
        self.horizon
    }

    pub(super) fn set_horizon(&mut self, key: i64) {
        self.horizon = key;
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Sets what rests at `key`, zero removes, and returns what rested there before.
    ///
    /// Whatever is not "change a tick of a mapped page" is a call at the end of its path: so this stays a leaf that
    /// saves no registers, and no branch of it depends on the quantity.
    #[inline]
    pub(super) fn set(&mut self, key: i64, quantity: i64) -> i64 {
        let offset = key.wrapping_sub(self.base) as u64;
        if offset >= WINDOW {
            return self.set_far(key, quantity);
        }
        let offset = offset as usize;
        let (_, page) = self.slots(offset);
        if page == NONE {
            return self.set_unmapped(key, quantity);
        }
        let tick = offset & 63;
        let before = std::mem::replace(&mut self.page_quantities[page][tick], quantity);
        // No branch on "new, changed or gone": a quarter of the changes are deletes, at random.
        let present = u64::from(quantity != 0);
        let bits = (self.page_bits[page] & !(1 << tick)) | (present << tick);
        self.page_bits[page] = bits;
        self.len = self.len + present as usize - usize::from(before != 0);
        if bits == 0 {
            return self.release(offset, before);
        }
        if self.len > self.level_limit {
            return self.drop_worst(before);
        }
        before
    }

    /// What rests at `key`.
    #[inline]
    pub(super) fn get(&self, key: i64) -> i64 {
        let offset = key.wrapping_sub(self.base) as u64;
        if offset >= WINDOW {
            return match self.far.binary_search_by_key(&key, |level| level.0) {
                Ok(at) => self.far[at].1,
                Err(_) => 0,
            };
        }
        let (_, page) = self.slots(offset as usize);
        self.page_quantities[page][offset as usize & 63]
    }

    /// The level with the highest key.
    #[inline]
    pub(super) fn best(&self) -> Option<(i64, i64)> {
        match self.far.last() {
            Some(&level) if self.summary == 0 || level.0 > self.base => Some(level),
            _ => self.last_page().map(|index| {
                let (_, page) = self.slots(index << 6);
                let tick = highest(self.page_bits[page]);
                (self.key_of(index, tick), self.page_quantities[page][tick])
            }),
        }
    }

    /// The level with the lowest key.
    #[inline]
    pub(super) fn worst(&self) -> Option<(i64, i64)> {
        match self.far.first() {
            Some(&level) if self.summary == 0 || level.0 < self.base => Some(level),
            _ => self.first_page().map(|index| {
                let (_, page) = self.slots(index << 6);
                let tick = lowest(self.page_bits[page]);
                (self.key_of(index, tick), self.page_quantities[page][tick])
            }),
        }
    }

    /// The levels, highest key first.
    #[inline]
    pub(super) fn iter(&self) -> Iter<'_> {
        Iter {
            ladder: self,
            far: self.far.len(),
            page: NONE,
            bits: 0,
            index: PAGES_END,
        }
    }

    pub(super) fn stats(&self) -> LadderStats {
        LadderStats {
            pages_mapped: self.page_bits.len() - 1 - self.free_pages.len(),
            far_levels: self.far.len(),
            dropped: self.dropped,
            relayouts: self.relayouts,
            bytes: size_of::<Self>()
                + size_of_val(&*self.regions)
                + size_of_val(&*self.roots)
                + self.block_bits.capacity() * size_of::<u64>()
                + self.block_pages.capacity() * size_of::<[u16; 64]>()
                + self.page_bits.capacity() * size_of::<u64>()
                + self.page_quantities.capacity() * size_of::<[i64; 64]>()
                + (self.free_blocks.capacity() + self.free_pages.capacity()) * size_of::<u16>()
                + self.far.capacity() * size_of::<(i64, i64)>(),
        }
    }

    /// The slots of the block and of the page that hold this offset into the window.
    #[inline]
    fn slots(&self, offset: usize) -> (usize, usize) {
        let block = usize::from(self.roots[(offset >> 12) & 4095]);
        let page = usize::from(self.block_pages[block][(offset >> 6) & 63]);
        (block, page)
    }

    #[inline]
    fn key_of(&self, index: usize, tick: usize) -> i64 {
        self.base + (index << 6 | tick) as i64
    }

    /// The mapped page with the highest index.
    #[inline]
    fn last_page(&self) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let region = highest(self.summary);
        let root = region << 6 | highest(self.regions[region]);
        Some(root << 6 | highest(self.block_bits[usize::from(self.roots[root])]))
    }

    /// The mapped page with the lowest index.
    #[inline]
    fn first_page(&self) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let region = lowest(self.summary);
        let root = region << 6 | lowest(self.regions[region]);
        Some(root << 6 | lowest(self.block_bits[usize::from(self.roots[root])]))
    }

    /// The mapped page with the highest index below `index`.
    #[inline]
    fn page_before(&self, index: usize) -> Option<usize> {
        if index >= PAGES_END {
            return self.last_page();
        }
        let root = index >> 6;
        let pages = self.block_bits[usize::from(self.roots[root])] & below(index & 63);
        if pages != 0 {
            return Some(root << 6 | highest(pages));
        }
        let region = root >> 6;
        let mut blocks = self.regions[region] & below(root & 63);
        let mut region_found = region;
        if blocks == 0 {
            let regions = self.summary & below(region);
            if regions == 0 {
                return None;
            }
            region_found = highest(regions);
            blocks = self.regions[region_found];
        }
        let root = region_found << 6 | highest(blocks);
        Some(root << 6 | highest(self.block_bits[usize::from(self.roots[root])]))
    }

    /// Gives the page at `index` memory, and its block too if need be.
    #[inline]
    fn map(&mut self, index: usize) -> usize {
        let root = index >> 6;
        let mut block = usize::from(self.roots[root]);
        if block == NONE {
            if self.free_blocks.is_empty() {
                self.add_blocks(self.block_bits.len());
            }
            let slot = self.free_blocks.pop().expect("blocks were added when there was none");
            self.roots[root] = slot;
            block = usize::from(slot);
            self.regions[root >> 6] |= 1 << (root & 63);
            self.summary |= 1 << (root >> 6);
        }
        if self.free_pages.is_empty() {
            self.add_pages(self.page_bits.len());
        }
        let slot = self.free_pages.pop().expect("pages were added when there was none");
        self.block_pages[block][index & 63] = slot;
        self.block_bits[block] |= 1 << (index & 63);
        usize::from(slot)
    }

    /// Takes the memory of an empty page back, and of its block if it was the last.
    #[inline]
    fn unmap(&mut self, index: usize, block: usize, page: usize) {
        debug_assert!(page != NONE && self.page_bits[page] == 0);
        self.block_pages[block][index & 63] = 0;
        self.free_pages.push(page as u16);
        self.block_bits[block] &= !(1 << (index & 63));
        if self.block_bits[block] == 0 {
            let root = index >> 6;
            self.roots[root] = 0;
            self.free_blocks.push(block as u16);
            self.regions[root >> 6] &= !(1 << (root & 63));
            if self.regions[root >> 6] == 0 {
                self.summary &= !(1 << (root >> 6));
            }
        }
    }

    /// Adds pages to the pool, as many as slots allow. Writing their zeros here is what keeps page faults out of `set`.
    fn add_pages(&mut self, count: usize) {
        let first = self.page_bits.len();
        let end = (first + count).min(usize::from(u16::MAX) + 1);
        self.page_bits.resize(end, 0);
        self.page_quantities.resize(end, [0; 64]);
        // The free list never outgrows the pool: releasing a page must not allocate.
        self.free_pages.reserve(end - 1 - self.free_pages.len());
        self.free_pages.extend((first..end).rev().map(|slot| slot as u16));
    }

    fn add_blocks(&mut self, count: usize) {
        let first = self.block_bits.len();
        let end = (first + count).min(self.roots.len() + 1);
        self.block_bits.resize(end, 0);
        self.block_pages.resize(end, [0; 64]);
        self.free_blocks.reserve(end - 1 - self.free_blocks.len());
        self.free_blocks.extend((first..end).rev().map(|slot| slot as u16));
    }

    /// Gives up the worst level of a side that has one too many. Passes `before` on.
    #[cold]
    #[inline(never)]
    fn drop_worst(&mut self, before: i64) -> i64 {
        if let Some((key, _)) = self.worst() {
            self.set(key, 0);
            self.dropped += 1;
            self.horizon = self.horizon.max(key.saturating_add(1));
        }
        before
    }

    /// Takes the page of the last level that lay in it back. Passes `before` on.
    #[inline(never)]
    fn release(&mut self, offset: usize, before: i64) -> i64 {
        let (block, page) = self.slots(offset);
        self.unmap(offset >> 6, block, page);
        before
    }

    /// `set` where no page is.
    #[inline(never)]
    fn set_unmapped(&mut self, key: i64, quantity: i64) -> i64 {
        if quantity == 0 {
            return 0; // a level that we never had: the venue's window is wider than ours
        }
        if self.len == 0 {
            // An empty side: lay the window around this level, not around where the last one was.
            self.base = base_around(key);
        }
        let offset = key.wrapping_sub(self.base) as u64 as usize;
        self.map(offset >> 6);
        self.set(key, quantity)
    }

    /// `set` outside the window.
    #[cold]
    #[inline(never)]
    fn set_far(&mut self, key: i64, quantity: i64) -> i64 {
        if self.len == 0 {
            return self.set_unmapped(key, quantity);
        }
        let before = match (self.far.binary_search_by_key(&key, |level| level.0), quantity) {
            (Ok(at), 0) => {
                self.len -= 1;
                self.far.remove(at).1
            }
            (Ok(at), quantity) => std::mem::replace(&mut self.far[at].1, quantity),
            (Err(_), 0) => 0,
            (Err(at), quantity) => {
                self.far.insert(at, (key, quantity));
                self.len += 1;
                0
            }
        };
        if self.len > self.level_limit {
            self.drop_worst(before);
        }
        self.far_operations += 1;
        if self.far_operations >= FAR_PATIENCE.max(4 * self.len) {
            self.judge_layout();
        }
        before
    }

    /// Lays the side out around its best level if that one is outside the window, or more levels would be inside.
    #[cold]
    fn judge_layout(&mut self) {
        self.far_operations = 0;
        let Some((best, _)) = self.best() else { return };
        let is_inside = |key: i64, base: i64| (key.wrapping_sub(base) as u64) < WINDOW;
        let base = base_around(best);
        let inside = self.iter().filter(|&(key, _)| is_inside(key, base)).count();
        if is_inside(best, self.base) && inside <= self.len - self.far.len() {
            return;
        }
        let levels: Vec<(i64, i64)> = self.iter().collect();
        self.clear();
        self.base = base;
        self.relayouts += 1;
        for &(key, quantity) in &levels {
            // The first comes in by way of an empty side, which lays the window around the best level: the same base.
            self.set(key, quantity);
        }
    }
}

/// Walks a ladder from the highest key down.
#[derive(Clone)]
pub(super) struct Iter<'a> {
    ladder: &'a Ladder,
    /// Far levels below this index are still to come.
    far: usize,
    /// Slot of the page that `bits` belong to.
    page: usize,
    /// Ticks of this page that are still to come.
    bits: u64,
    /// Index of this page; pages below are still to come.
    index: usize,
}

impl Iterator for Iter<'_> {
    type Item = (i64, i64);

    #[inline]
    fn next(&mut self) -> Option<(i64, i64)> {
        if self.bits == 0 {
            let far = match self.far {
                0 => None,
                count => Some(self.ladder.far[count - 1]),
            };
            // Far levels above the window come before its first page, those below it after its last.
            if let Some(level) = far
                && level.0 > self.ladder.base
            {
                self.far -= 1;
                return Some(level);
            }
            let Some(index) = self.ladder.page_before(self.index) else {
                self.far = self.far.saturating_sub(1);
                return far;
            };
            self.index = index;
            self.page = self.ladder.slots(index << 6).1;
            self.bits = self.ladder.page_bits[self.page];
        }
        let tick = highest(self.bits);
        self.bits &= !(1 << tick);
        Some((
            self.ladder.key_of(self.index, tick),
            self.ladder.page_quantities[self.page][tick],
        ))
    }
}

/// The lowest key of a window around `key` that ends before `i64` does.
fn base_around(key: i64) -> i64 {
    let half = (WINDOW / 2) as i64;
    key.saturating_sub(half).min(i64::MAX - (WINDOW as i64 - 1))
}

/// The number of the highest set bit; `bits` is not zero.
#[inline]
fn highest(bits: u64) -> usize {
    (bits | 1).ilog2() as usize
}

/// The number of the lowest set bit; `bits` is not zero.
#[inline]
fn lowest(bits: u64) -> usize {
    bits.trailing_zeros() as usize & 63
}

/// The bits below bit `n`, `n < 64`.
#[inline]
fn below(n: usize) -> u64 {
    (1 << n) - 1
}
