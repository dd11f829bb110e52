use super::*;
use crate::http::Request;

fn get(pages: &Pages, path: &str) -> Option<Response> {
    let request = Request {
        path: path.into(),
        query: String::new(),
        headers: Vec::new(),
        head_only: false,
    };
    match pages.answer(&request)? {
        Answer::Whole(response) => Some(response),
        Answer::Stream(..) => panic!("{path} is a stream"),
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap();
    rest.split_once(to).unwrap().0
}

#[test]
fn the_policy_has_the_hashes_of_what_stands_in_the_page_and_allows_nothing_else() {
    let pages = Pages::new(Arc::new(Source::new("/nonexistent")), "/metrics");
    let response = get(&pages, "/").unwrap();
    let html = String::from_utf8(response.body).unwrap();
    let policy = &response
        .headers
        .iter()
        .find(|line| line.0 == "Content-Security-Policy")
        .unwrap()
        .1;
    for (directive, content) in [
        ("script-src", between(&html, "<script type=\"module\">", "</script>")),
        ("style-src", between(&html, "<style>", "</style>")),
    ] {
        let hash = BASE64_STANDARD.encode(digest(&SHA256, content.as_bytes()));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}';")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none'; connect-src 'self';") && !policy.contains("unsafe"));
    assert_eq!(html.matches("<script").count(), 1);
    for forbidden in ["http://", "https://", " style=\"", " onclick", "innerHTML"] {
        let allowed = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!allowed.contains(forbidden), "{forbidden}");
    }
    assert!(!html.contains("{{"), "every place of the template is filled");
}

#[test]
fn what_a_directory_or_a_region_is_called_is_text_and_not_markup() {
    let hostile = "/nonexistent/<script>alert(1)</script>{{links}}&\"'";
    let pages = Pages::new(Arc::new(Source::new(hostile)), "/m");
    let html = String::from_utf8(get(&pages, "/").unwrap().body).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;{{links}}&amp;&quot;&#39;"));
    assert!(html.contains("<strong>absent</strong>") && html.contains("href=\"/m\""));
}

#[test]
fn other_paths_are_left_to_others() {
    let pages = Pages::new(Arc::new(Source::new("/nonexistent")), "/metrics");
    for path in [
        "/metrics",
        "/live",
        "/live/events/",
        "/monitoring",
        "/monitoring/health/",
    ] {
        assert!(get(&pages, path).is_none(), "{path}");
    }
}
