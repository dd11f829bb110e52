//! Stands in front of the application: who may ask, and which lines every answer has.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::live::LiveSettings;
use super::passwords::{Passwords, Verdict};
use super::settings::{Settings, WebError};
use crate::http::{Answer, Handler, Request, Response};

/// A handler behind a web configuration.
pub struct Guard {
    live: Arc<LiveSettings>,
    passwords: Passwords,
    app: Arc<dyn Handler>,
}

impl Guard {
    /// Lets those through to `app` whom `live` allows.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(live: Arc<LiveSettings>, app: Arc<dyn Handler>) -> Result<Self, WebError> {
        Ok(Self {
            live,
            passwords: Passwords::new().map_err(WebError::Random)?,
            app,
        })
    }

    fn judge(&self, settings: &Settings, request: &Request) -> Verdict {
        if settings.users.is_empty() {
            return Verdict::Accepted;
        }
        match request.header("authorization").and_then(credentials) {
            Some((user, password)) => self.passwords.judge(&settings.users, &user, &password),
            None => Verdict::Refused,
        }
    }
}

impl Handler for Guard {
    fn answer(&self, request: &Request) -> Answer {
        let settings = self.live.current();
        let answer = match self.judge(&settings, request) {
            Verdict::Accepted => self.app.answer(request),
            Verdict::Refused => {
                let challenge = "Basic realm=\"quantumflow-exporter\", charset=\"UTF-8\"";
                let response = Response::text(401, "a user's name and password are needed\n");
                response.with_header("WWW-Authenticate", challenge).into()
            }
            Verdict::Busy => {
                let response = Response::text(503, "too many passwords are being checked, try again later\n");
                response.with_header("Retry-After", "5").into()
            }
        };
        match answer {
            Answer::Whole(response) => Answer::Whole(with_lines(response, &settings)),
            Answer::Stream(response, stream) => Answer::Stream(with_lines(response, &settings), stream),
        }
    }

    fn refusal(&self, response: Response) -> Response {
        with_lines(self.app.refusal(response), &self.live.current())
    }
}

/// Adds the file's lines where the answer has none of their name: a page knows best what its own scripts need.
fn with_lines(mut response: Response, settings: &Settings) -> Response {
    for line in &settings.headers {
        if !response.has_header(&line.0) {
            response.headers.push(line.clone());
        }
    }
    response
}

/// User and password of a line such as `Basic dXNlcjpwYXNz`.
fn credentials(line: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, text) = line.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let colon = bytes.iter().position(|&b| b == b':')?;
    let user = str::from_utf8(&bytes[..colon]).ok()?;
    Some((user.to_owned(), bytes[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_and_nothing_else_is_taken_for_them() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.as_bytes().to_vec()));
        for (line, expected) in [
            ("Basic dXNlcjpwYXNz", pair("user", "pass")),
            ("bAsIc  dXNlcjpwYXNz ", pair("user", "pass")),
            ("Basic dTphOmI=", pair("u", "a:b")),
            ("Basic Og==", pair("", "")),
            ("Basic dXNlcg==", None),
            ("Basic dXNlcjpwYXNz!", None),
            ("Basic /zpi", None),
            ("Basic", None),
            ("Bearer dXNlcjpwYXNz", None),
            ("", None),
        ] {
            assert_eq!(credentials(line), expected, "{line:?}");
        }
    }
}
