//! Keys and passwords: where they are sent, and that they are not shown.

use super::*;

#[test]
fn neither_key_nor_prompt_goes_to_another_host() {
    let thief = Mock::playing(vec![Act::content("Marie")]);
    let elsewhere = format!("Location: {}/chat/completions", thief.url());
    let mock = Mock::playing(vec![Act::status(307, "").with(&elsewhere)]);
    let key = Key::new("RAGBIAS_API_KEY", "sk-secret").unwrap();
    let server = connect_to(&format!("{}#m", mock.url()), Some(key), &config()).unwrap();
    let error = one(&server).unwrap_err().to_string();
    assert!(
        error.contains("redirects to http://127.0.0.1") && error.contains("the host that was given alone"),
        "{error}"
    );
    assert_eq!(thief.requests().len(), 0);
    assert_eq!(mock.asked()[0].header("authorization"), Some("Bearer sk-secret"));
}

#[test]
fn the_key_is_in_no_error_and_no_debug_even_where_the_server_shows_it() {
    let mock = Mock::playing(vec![Act::error(400, "the key sk-secret is for another project")]);
    let key = Key::new("RAGBIAS_API_KEY", "sk-secret\n").unwrap();
    let server = connect_to(&mock.url(), Some(key), &config()).unwrap();
    let error = one(&server).unwrap_err();
    assert!(error.to_string().contains("the key (key) is for another project"), "{error}");
    assert!(!format!("{error} {error:?} {server:?}").contains("sk-secret"));
}

/// Everything that a server makes visible.
fn shown(server: &Server, answer: &ragbias_core::Result<Answer>) -> String {
    let error = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
    format!(
        "{answer:?} {error} {server:?} {:?} {:?} {:?}",
        server.notes(),
        server.assumed(),
        server.fingerprints()
    )
}

#[test]
fn a_password_and_a_key_of_the_address_are_sent_and_never_shown() {
    // All encodings of the secrets sent; base64 from `printf 'me:pass/word' | base64`.
    let echo = "pass/word pass%2Fword pass\\/word \\u0070ass/word bWU6cGFzcy93b3Jk query-key";
    let in_json = |text: &str| format!("{{\"choices\": [{{\"message\": {{\"content\": \"{text}\"}}}}]}}");
    let event =
        |piece: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{piece}\"}}}}]}}\n\n");
    let stream = ["Marie ", "pass", "/word", " query-", "key"].map(event).concat();
    let acts = [
        (Act::status(400, format!("{{\"error\": {{\"message\": \"{echo}\"}}}}")), ""),
        (Act::status(500, echo), ""),
        (Act::status(401, format!("<title>{echo}</title>")), ""),
        (Act::status(302, "").with("Location: http://elsewhere/?key=query-key&p=pass%2Fword"), ""),
        (Act::status(304, "").with("Location: http://elsewhere/?key=query-key&p=pass%2Fword"), ""),
        (Act::body(in_json(&format!("Marie {echo}"))), "Marie (key) (key) (key) (key) (key) (key)"),
        (
            Act::body(format!("{stream}data: [DONE]\n\n")).with("Content-Type: text/event-stream"),
            "Marie (key) (key)",
        ),
    ];
    for (act, answer) in acts {
        let mock = Mock::playing(vec![act]);
        let address =
            mock.url().replace("http://", "http://me:pass%2Fword@") + "?key=query-key&api-version=1#m";
        let env = Key::new("RAGBIAS_API_KEY", "sk-of-the-user").unwrap();
        let config = ServerConfig { attempts: 1, ..config() };
        let server = connect_to(&address, Some(env), &config).unwrap();
        let got = one(&server);
        let shown = shown(&server, &got);
        for secret in ["pass/word", "pass%2Fword", "pass%2fword", "bWU6cGFzcy93b3Jk", "query-key"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        if !answer.is_empty() {
            assert_eq!(got.unwrap().text, answer);
            assert!(
                server.notes().iter().any(|note| note.contains("1 answer held the key")),
                "{:?}",
                server.notes()
            );
        }
        let asked = &mock.asked()[0];
        assert_eq!(asked.header("authorization"), Some("Basic bWU6cGFzcy93b3Jk"), "the address's own");
        assert_eq!(asked.path, "/v1/chat/completions?key=query-key&api-version=1");
    }
}

#[test]
fn a_key_that_is_a_word_changes_no_answer() {
    let mock = Mock::playing(vec![Act::content("none of the men")]);
    let key = Key::new("OPENAI_API_KEY", "none").unwrap();
    let server = connect_to(&mock.url(), Some(key), &config()).unwrap();
    assert_eq!(one(&server).unwrap(), Answer::whole("none of the men"));
    assert_eq!(mock.asked()[0].header("authorization"), Some("Bearer none"));
}

#[test]
fn a_host_that_a_file_names_is_sent_no_key_unless_it_is_allowed() {
    let mock = Mock::playing(vec![Act::content("Marie")]);
    let key = || Some(Key::new("RAGBIAS_API_KEY", "sk-secret").unwrap());
    let address = Address::parse(&format!("{}#m", mock.url())).unwrap().of_file();
    let connect = |key, allowed: &[AllowedHost]| {
        Server::with_key(&address, key, allowed, &config(), &GenerateConfig::default())
    };
    let error = connect(key(), &[]).unwrap_err().to_string();
    assert!(
        error.contains("RAGBIAS_API_KEY would go to 127.0.0.1:") && error.contains("`allow-host 127"),
        "{error}"
    );
    assert_eq!(mock.requests().len(), 0, "nothing was sent");
    one(&connect(None, &[]).unwrap()).unwrap();
    assert_eq!(mock.asked()[0].header("authorization"), None);
    one(&connect(key(), &["127.0.0.1".parse().unwrap()]).unwrap()).unwrap();
    assert_eq!(mock.asked()[1].header("authorization"), Some("Bearer sk-secret"));
}

#[test]
fn a_server_is_the_same_under_another_key() {
    let mock = Mock::playing(vec![Act::content("Marie")]);
    let id = |query: &str| connect_to(&format!("{}{query}#m", mock.url()), None, &config()).unwrap().id();
    assert_eq!(id("?key=first-key"), id("?key=second-key"));
    assert_eq!(id("?key=first-key"), id(""));
    assert_ne!(id("?deployment=a"), id("?deployment=b"));
}
