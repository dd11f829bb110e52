//! What each venue sends and the rule by which its book stays right.
//!
//! A [`Session`] is one connection's worth of a venue: it is given frames, REST bodies and the time, calls the
//! [`Sink`](crate::Sink), and leaves what it wants done in the [`Outbox`]. It never touches a socket.
