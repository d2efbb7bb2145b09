//! Bodies and redirects.

use super::*;

#[test]
fn streams_parts_and_a_byte_order_mark_are_read() {
    let streamed = "data: {\"choices\":[{\"delta\":{\"content\":\"Marie\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let whole = r#"{"choices": [{"message": {"content": "Marie"}}]}"#;
    for act in [
        Act::body(streamed).with("Content-Type: text/event-stream"),
        Act::body(format!("{whole}\n\ndata: [DONE]\n\n")),
        Act::body(format!("\u{feff}{whole}")),
        Act::message(json!({ "content": [{ "type": "text", "text": "Marie" }] }), "stop"),
    ] {
        let mock = Mock::playing(vec![act]);
        assert_eq!(one(&connect(&mock)).unwrap(), Answer::whole("Marie"));
    }
}

#[test]
fn a_body_without_end_or_in_another_encoding_is_named() {
    let (error, _) = error_of(vec![Act::body(" ".repeat((16 << 20) + 1))]);
    assert!(error.contains("longer than 16 MiB"), "{error}");
    let (error, _) =
        error_of(vec![Act::Reply { status: 200, headers: String::new(), body: vec![0x1f, 0x8b, 8, 0, 255] }]);
    assert!(error.contains("not UTF-8") && error.contains("1f"), "{error}");
}

/// The fuzz target `server` in `tests/fuzz` searches for many more.
#[test]
fn a_damaged_answer_is_read_or_refused_with_the_address() {
    let answers = [
        r#"{"model": "m", "choices": [{"message": {"content": "Marie"}, "finish_reason": "stop"}]}"#,
        r#"{"model": "m", "choices": [{"message": {"content": [{"type": "text", "text": "<think>no</think>A"}]},
            "finish_reason": "length", "logprobs": {"content": [{"token": "A", "logprob": -0.1,
            "top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": " B", "logprob": -2.5}]}]}}]}"#,
        r#"{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}"#,
        "data: {\"choices\":[{\"delta\":{\"content\":\"A\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    ];
    let next = Arc::new(Mutex::new(Act::body("")));
    let played = Arc::clone(&next);
    let mock = Mock::prompted(move |_, _| played.lock().unwrap().clone());
    let once = ServerConfig { attempts: 1, samples: 1, ..config() };
    for (answer, kind) in answers.into_iter().zip(["json", "json", "json", "event-stream"]) {
        for seed in 0..150 {
            let body = ragbias_core::testing::damaged(answer.as_bytes(), seed);
            let headers = format!("Content-Type: application/{kind}\r\n");
            *next.lock().unwrap() = Act::Reply { status: [200, 400, 503][seed as usize % 3], headers, body };
            // Another model's name in an answer ends a server, so each gets a new one.
            let server = connect_with(&mock, &once).unwrap();
            for error in [one(&server).err(), server.choose_all(&[PROMPT]).err()].into_iter().flatten() {
                assert!(error.to_string().contains(mock.host()), "damage {seed} of {answer}: {error}");
            }
        }
    }
}

#[test]
fn a_query_of_the_address_stays_behind_the_path() {
    let mock = Mock::playing(vec![Act::content("Marie")]);
    let address = format!("{}?api-version=2024-06-01#m", mock.url());
    let server = connect_to(&address, None, &config()).unwrap();
    one(&server).unwrap();
    assert_eq!(mock.asked()[0].path, "/v1/chat/completions?api-version=2024-06-01");
    assert_eq!(mock.requests()[0].path, "/v1/models?api-version=2024-06-01");
}

#[test]
fn redirects_are_followed_with_the_body_on_the_same_host() {
    for status in [301, 302, 307, 308] {
        let mock = Mock::new(move |request| match request.path.as_str() {
            "/v1/models" => Act::status(404, ""),
            "/v1/chat/completions" => Act::status(status, "").with("Location: /v2/chat/completions?x=1"),
            _ => Act::content("Marie"),
        });
        assert_eq!(one(&connect(&mock)).unwrap(), Answer::whole("Marie"));
        let last = mock.asked().pop().unwrap();
        assert_eq!(
            (last.path.as_str(), last.method.as_str(), last.prompt()),
            ("/v2/chat/completions?x=1", "POST", "Who?")
        );
    }
    let circle = Mock::new(|_| Act::status(307, "").with("Location: /v1/chat/completions"));
    assert!(connect_with(&circle, &config()).unwrap_err().to_string().contains("more than 5 redirects"));
}

proptest! {
    #[test]
    fn any_change_of_a_byte_in_an_answer_gives_a_reply_or_a_reason(
        place in any::<prop::sample::Index>(), byte: u8, status in prop::sample::select(vec![200_u16, 400, 429, 500])
    ) {
        const WHOLE: &str = "{\"model\":\"m\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"content\":\
            [{\"type\":\"text\",\"text\":\"<think>x</think>Marie\"}]},\"logprobs\":{\"content\":[{\"token\":\"A\",\"logprob\":-0.1,\
            \"bytes\":[65],\"top_logprobs\":[{\"token\":\"A\",\"logprob\":-0.1}]}]}}],\"error\":null}";
        let mut bytes = WHOLE.as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let response = transport::Response { status, kind: String::new(), after: None, text, held_secret: false };
        match reply::read(&response) {
            Ok(reply) => {
                letters::read(&reply.tokens.unwrap_or_default()).ok();
                letters::said(&reply.text);
            }
            Err(failure) => prop_assert!(!failure.reason.is_empty()),
        }
    }

    #[test]
    fn no_text_makes_the_readers_panic(text: String) {
        reasoning::take_off(&text);
        letters::said(&text);
        stream::join(&text).ok();
        failure::of(500, &text, None);
        address::redirected("http://h/v1", &text).ok();
        Address::parse(&text).ok();
        without_secrets(&text);
    }
}
