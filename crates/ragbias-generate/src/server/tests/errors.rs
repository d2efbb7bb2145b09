//! Servers that fail permanently.

use super::*;

#[test]
fn a_server_that_misbehaves_in_every_passing_way_is_asked_again_until_it_answers() {
    let mock = Mock::playing(vec![
        Act::status(429, "").with("Retry-After: 0"),
        Act::status(500, ""),
        Act::Cut,
        Act::body("{ not json"),
        Act::body("").with("Retry-After: 0.001"),
        Act::content("\nMarie Curie\nand others"),
    ]);
    assert_eq!(
        one(&connect_with(&mock, &ServerConfig { attempts: 6, ..config() }).unwrap()).unwrap(),
        Answer::whole("Marie Curie")
    );
    let asked = mock.asked();
    assert_eq!(asked.len(), 6);
    assert_eq!((asked[0].path.as_str(), asked[0].prompt()), ("/v1/chat/completions", "Who?"));
    assert_eq!(asked[0].body["stream"], false);
}

#[test]
fn attempts_are_bounded_and_the_servers_last_words_are_told() {
    let (error, asked) = error_of(vec![Act::error(503, "loading the model")]);
    assert!(
        error.contains("status 503: loading the model (after 5 attempts)") && error.contains("hint:"),
        "{error}"
    );
    assert_eq!(asked, 5);
}

#[test]
fn a_spent_quota_a_wrong_key_and_an_unknown_model_are_not_tried_again() {
    let quota =
        json!({ "error": { "message": "You exceeded your current quota", "code": "insufficient_quota" } })
            .to_string();
    for (act, words, hint) in [
        (Act::status(429, quota), "You exceeded your current quota", "quota"),
        (Act::error(401, "Incorrect API key"), "Incorrect API key", "RAGBIAS_API_KEY"),
        (Act::error(404, "The model `x` does not exist"), "does not exist", "after #"),
        (
            Act::error(500, "the prompt exceeds the context size"),
            "context size",
            "fewer or shorter documents",
        ),
        (Act::error(400, "try later"), "status 400: try later", "`llm-options FILE`"),
        (Act::status(429, "tomorrow").with("Retry-After: 7200"), "wait 7200 s", "run again after that time"),
        (
            Act::body("<html><title>Sign in</title></html>").with("Content-Type: text/html"),
            "web page, `Sign in`",
            "ends before /chat",
        ),
        (Act::body("{\"result\": 1}"), "no `choices`, but result", "chat completions"),
    ] {
        let (error, asked) = error_of(vec![act]);
        assert!(
            error.contains(words) && error.contains(hint) && error.contains("(after 1 attempt)"),
            "{error}"
        );
        assert_eq!(asked, 1, "{error}");
    }
}

#[test]
fn a_server_that_is_not_there_or_never_answers_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = connect_to(&format!("http://{free}/v1"), None, &config()).unwrap_err().to_string();
    assert!(error.contains(&free.to_string()) && error.contains("attempts)"), "{error}");

    let mock = Mock::new(|_| Act::Hang(Duration::from_secs(30)));
    let begun = Instant::now();
    let error = connect_with(&mock, &ServerConfig { timeout: 0.2, ..config() }).unwrap_err().to_string();
    assert!(
        error.contains(&mock.url())
            && error.contains("no answer within 0.2 s")
            && error.contains("`llm-timeout SECONDS`"),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(mock.requests().len(), 1);
}

#[test]
fn an_answer_that_hangs_is_asked_for_once_more() {
    let mock = Mock::playing(vec![Act::Hang(Duration::from_secs(30)), Act::content("Marie")]);
    let server = connect_with(&mock, &ServerConfig { timeout: 0.3, ..config() }).unwrap();
    assert_eq!(one(&server).unwrap(), Answer::whole("Marie"));
}
