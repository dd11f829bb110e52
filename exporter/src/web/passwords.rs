//! Who may ask: bcrypt hashes, and how often they may be computed.
//!
//! A hash is slow on purpose, some 50 to 300 ms of a core, which must cost a guesser more than the host. Three things see
//! to that. An accepted password is remembered, so that a scraper pays once; only under a keyed hash, so that no memory
//! dump gives it away. A refused one is remembered, too, apart from the accepted ones, so that a scraper with an old
//! password costs nothing and a guesser can push nobody out. And one hash is computed at a time, with a rest after each
//! that was wrong: guessing gets a fifth of one core at most.
//!
//! A user who does not exist costs the same as one who does. What cannot be hidden is that users' hashes were made with
//! different costs; a file's are usually made alike.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac;
use serde::Deserialize;

/// A password's bcrypt hash, checked to be one. A secret: it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PasswordHash {
    text: String,
    cost: u32,
}

/// Most that a hash may cost. Each step doubles it: 16 takes seconds, 31 takes days.
pub const COST_MAX: u32 = 16;

impl TryFrom<String> for PasswordHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const HOW: &str = "not a bcrypt hash; make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'";
        let parts: bcrypt::HashParts = text.parse().map_err(|_| HOW.to_owned())?;
        let cost = parts.get_cost();
        // The parser takes any version and any length of it.
        if text.len() != 60
            || !["$2a$", "$2b$", "$2x$", "$2y$"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
        {
            return Err(HOW.into());
        }
        if cost > COST_MAX {
            return Err(format!(
                "a bcrypt hash of cost {cost} takes too long; {COST_MAX} is the most"
            ));
        }
        // What cannot be computed is found here and not at the first request.
        bcrypt::verify("", &with_least_cost(&text)).map_err(|_| HOW.to_owned())?;
        Ok(Self { text, cost })
    }
}

fn with_least_cost(hash: &str) -> String {
    format!("{}04{}", &hash[..4], &hash[6..])
}

/// The users of a file.
pub type Users = BTreeMap<String, PasswordHash>;

/// What came of a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They belong together.
    Accepted,
    /// They do not.
    Refused,
    /// Too many others are being judged.
    Busy,
}

/// Judges passwords. Shared by every thread that asks.
pub struct Passwords {
    key: hmac::Key,
    known: Mutex<Known>,
    gate: Gate,
}

impl Passwords {
    /// Knows nothing yet.
    ///
    /// # Errors
    /// The system has no random numbers for the key.
    pub fn new() -> std::io::Result<Self> {
        let random = ring::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| std::io::Error::other("the system has no random numbers"))?;
        Ok(Self {
            key,
            known: Mutex::default(),
            gate: Gate::default(),
        })
    }

    /// Whether `password` is the one of `user`, one of `users`.
    pub fn judge(&self, users: &Users, user: &str, password: &[u8]) -> Verdict {
        let hash = users.get(user);
        let tag = self.tag(user, password, hash);
        if let Some(verdict) = self.known().get(&tag) {
            return verdict;
        }
        let Some(turn) = self.gate.enter(Instant::now() + WAIT_MAX) else {
            return Verdict::Busy;
        };
        // Whoever was in before may have asked the same.
        if let Some(verdict) = self.known().get(&tag) {
            turn.leave(Duration::ZERO);
            return verdict;
        }
        let began = Instant::now();
        let accepted = match hash {
            Some(hash) => bcrypt::verify(password, &hash.text).unwrap_or(false),
            None => {
                let cost = users
                    .values()
                    .map(|hash| hash.cost)
                    .max()
                    .unwrap_or(bcrypt::DEFAULT_COST);
                let _ = std::hint::black_box(bcrypt::hash_with_salt(password, cost, *b"nobody's salt at"));
                false
            }
        };
        let verdict = if accepted { Verdict::Accepted } else { Verdict::Refused };
        self.known().insert(tag, verdict);
        turn.leave(if accepted {
            Duration::ZERO
        } else {
            began.elapsed() * REST_FACTOR
        });
        verdict
    }

    /// A name for user, password and stored hash that only this process can give; a changed hash makes another one.
    /// It needs no comparison in constant time: nobody can steer towards a tag whose key they do not have.
    fn tag(&self, user: &str, password: &[u8], hash: Option<&PasswordHash>) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), password, hash.map_or(b"", |hash| hash.text.as_bytes())] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut tag = Tag::default();
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a request may wait for its password's turn.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How many may wait.
const WAITING_MAX: usize = 4;
/// How long nothing is computed after a wrong password, in times of what it took.
const REST_FACTOR: u32 = 4;
/// Verdicts that are remembered, of each kind.
const KNOWN_MAX: usize = 64;

type Tag = [u8; 32];

#[derive(Default)]
struct Known {
    accepted: Recent,
    refused: Recent,
}

impl Known {
    fn get(&self, tag: &Tag) -> Option<Verdict> {
        if self.accepted.tags.contains(tag) {
            return Some(Verdict::Accepted);
        }
        self.refused.tags.contains(tag).then_some(Verdict::Refused)
    }

    fn insert(&mut self, tag: Tag, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => self.accepted.insert(tag),
            Verdict::Refused => self.refused.insert(tag),
            Verdict::Busy => {}
        }
    }
}

/// The last tags.
#[derive(Default)]
struct Recent {
    tags: HashSet<Tag>,
    order: VecDeque<Tag>,
}

impl Recent {
    fn insert(&mut self, tag: Tag) {
        if !self.tags.insert(tag) {
            return;
        }
        self.order.push_back(tag);
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.tags.remove(&oldest);
        }
    }
}

/// Lets one in at a time, and nobody while it rests.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    taken: bool,
    waiting: usize,
    rests_until: Option<Instant>,
}

impl Gate {
    fn enter(&self, deadline: Instant) -> Option<Turn<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting >= WAITING_MAX {
            return None;
        }
        state.waiting += 1;
        loop {
            let now = Instant::now();
            let opens = state.rests_until.filter(|until| *until > now);
            if !state.taken && opens.is_none() {
                state.taken = true;
                state.waiting -= 1;
                return Some(Turn(self));
            }
            if now >= deadline {
                state.waiting -= 1;
                return None;
            }
            let until = opens
                .filter(|_| !state.taken)
                .map_or(deadline, |opens| opens.min(deadline));
            let waited = self.changed.wait_timeout(state, until.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The right to compute; given back on drop.
struct Turn<'a>(&'a Gate);

impl Turn<'_> {
    fn leave(self, rest: Duration) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rests_until = Some(Instant::now() + rest);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).taken = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> PasswordHash {
        bcrypt::hash(password, 4)
            .unwrap()
            .try_into()
            .unwrap_or_else(|e| panic!("{e}"))
    }

    fn users(pairs: &[(&str, &str)]) -> Users {
        pairs
            .iter()
            .map(|(user, password)| ((*user).to_owned(), hash(password)))
            .collect()
    }

    #[test]
    fn only_a_users_own_password_is_accepted_however_often_it_is_asked() {
        let users = users(&[("prom", "s3cret: ü"), ("ops", "other")]);
        let passwords = Passwords::new().unwrap();
        for _ in 0..2 {
            assert_eq!(
                passwords.judge(&users, "prom", "s3cret: ü".as_bytes()),
                Verdict::Accepted
            );
            for (user, password) in [
                ("prom", "other"),
                ("ops", "s3cret: ü"),
                ("nobody", "other"),
                ("", ""),
                ("prom", ""),
            ] {
                assert_eq!(
                    passwords.judge(&users, user, password.as_bytes()),
                    Verdict::Refused,
                    "{user} {password}"
                );
            }
            assert_eq!(passwords.judge(&users, "prom", b"a\0b\xff"), Verdict::Refused);
        }
    }

    #[test]
    fn a_changed_hash_makes_the_old_password_wrong_at_once() {
        let passwords = Passwords::new().unwrap();
        assert_eq!(passwords.judge(&users(&[("a", "old")]), "a", b"old"), Verdict::Accepted);
        let changed = users(&[("a", "new")]);
        assert_eq!(passwords.judge(&changed, "a", b"old"), Verdict::Refused);
        assert_eq!(passwords.judge(&changed, "a", b"new"), Verdict::Accepted);
        assert_eq!(
            passwords.judge(&Users::new(), "a", b"new"),
            Verdict::Refused,
            "a user who is gone"
        );
    }

    #[test]
    fn guesses_push_out_no_accepted_password_and_memory_is_bounded() {
        let mut known = Known::default();
        known.insert([255; 32], Verdict::Accepted);
        for n in 0..1000_u32 {
            let mut tag = Tag::default();
            tag[..4].copy_from_slice(&n.to_le_bytes());
            known.insert(tag, Verdict::Refused);
            known.insert(tag, Verdict::Refused);
        }
        assert_eq!(known.get(&[255; 32]), Some(Verdict::Accepted));
        assert_eq!(
            (known.refused.tags.len(), known.refused.order.len()),
            (KNOWN_MAX, KNOWN_MAX)
        );
        let mut last = Tag::default();
        last[..4].copy_from_slice(&999_u32.to_le_bytes());
        assert_eq!(
            (known.get(&last), known.get(&Tag::default())),
            (Some(Verdict::Refused), None)
        );
    }

    #[test]
    fn one_at_a_time_gets_in_and_nobody_while_it_rests() {
        let gate = Gate::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let turn = gate.enter(soon()).unwrap();
        assert!(gate.enter(soon()).is_none(), "taken");
        turn.leave(Duration::from_millis(60));
        let left = Instant::now();
        assert!(gate.enter(soon()).is_none(), "it rests");
        let turn = gate.enter(left + Duration::from_secs(10)).unwrap();
        assert!(left.elapsed() >= Duration::from_millis(50));
        let patient = Instant::now() + Duration::from_secs(10);
        std::thread::scope(|scope| {
            for _ in 0..WAITING_MAX {
                scope.spawn(|| drop(gate.enter(patient).unwrap()));
            }
            while gate.state.lock().unwrap().waiting < WAITING_MAX {
                std::thread::yield_now();
            }
            assert!(gate.enter(patient).is_none(), "enough are waiting");
            turn.leave(Duration::ZERO);
        });
    }

    #[test]
    fn what_is_no_hash_or_too_dear_is_refused() {
        let good = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
        let check = |text: String| PasswordHash::try_from(text).map(|hash| hash.cost);
        assert_eq!(check(good.into()), Ok(10));
        for prefix in ["$2a$", "$2b$", "$2x$"] {
            assert_eq!(check(good.replace("$2y$", prefix)), Ok(10), "{prefix}");
        }
        assert!(
            check(good.replace("$10$", "$17$"))
                .unwrap_err()
                .contains("takes too long")
        );
        for bad in [
            "",
            "secret",
            &good[..59],
            &format!("{good}a"),
            &good.replace("$2y$", "$5$a"),
            &good.replace('z', "!"),
        ] {
            assert!(
                check(bad.to_owned()).unwrap_err().contains("not a bcrypt hash"),
                "{bad}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[$2abxy0-9./A-Zé]{0,62}") {
            let _ = PasswordHash::try_from(text);
        }
    }
}
