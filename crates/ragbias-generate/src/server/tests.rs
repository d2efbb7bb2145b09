//! Servers that misbehave, a kind a test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use proptest::prelude::*;
use ragbias_core::Choice;
use serde_json::{Value, json};

use super::mock::{Act, Mock, Request};
use super::*;

fn config() -> ServerConfig {
    ServerConfig {
        timeout: 5.0,
        backoff: Duration::from_millis(2),
        reasoning_tokens: 1000,
        ..ServerConfig::default()
    }
}

fn connect_with(mock: &Mock, config: &ServerConfig) -> Result<Server> {
    Server::with_key(&format!("{}#m", mock.url()), None, config, &GenerateConfig::default())
}

fn connect(mock: &Mock) -> Server {
    connect_with(mock, &config()).unwrap()
}

fn one(server: &Server) -> ragbias_core::Result<Answer> {
    Ok(server.generate_all(&["Who?"])?.remove(0))
}

fn error_of(acts: Vec<Act>) -> (String, usize) {
    let mock = Mock::playing(acts);
    let error = one(&connect(&mock)).unwrap_err().to_string();
    (error, mock.asked().len())
}

const PROMPT: ChoicePrompt<'_> = ChoicePrompt { prompt: "Q", negative: "left", positive: "right" };

/// An answer whose first token has these probabilities.
fn likely(tokens: &[(&str, f64)]) -> Act {
    let top: Vec<Value> =
        tokens.iter().map(|(token, p)| json!({ "token": token, "logprob": p.ln() })).collect();
    let told =
        json!({ "content": [{ "token": tokens[0].0, "logprob": tokens[0].1.ln(), "top_logprobs": top }] });
    Act::body(json!({ "choices": [{ "message": { "content": tokens[0].0 }, "finish_reason": "length", "logprobs": told }] }).to_string())
}

fn chosen(server: &Server) -> Chosen {
    server.choose_all(&[PROMPT]).unwrap().remove(0)
}

fn choice(server: &Server) -> Choice {
    *chosen(server).choice().expect("a choice was made")
}

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
        (Act::error(400, "try later"), "status 400: try later", "--llm-options"),
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
    let error = Server::with_key(&format!("http://{free}/v1"), None, &config(), &GenerateConfig::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains(&free.to_string()) && error.contains("attempts)"), "{error}");

    let mock = Mock::new(|_| Act::Hang(Duration::from_secs(30)));
    let begun = Instant::now();
    let error = connect_with(&mock, &ServerConfig { timeout: 0.2, ..config() }).unwrap_err().to_string();
    assert!(
        error.contains(&mock.url())
            && error.contains("no answer within 0.2 s")
            && error.contains("--llm-timeout"),
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

#[test]
fn thinking_is_taken_off_and_a_model_that_thinks_has_a_larger_budget() {
    let thought = |content: &str, finish| {
        Act::message(json!({ "content": content, "reasoning_content": "Isaac Newton?" }), finish)
    };
    let mock = Mock::new(move |request| match request.body["max_tokens"].as_u64() {
        _ if request.method == "GET" => Act::status(404, ""),
        Some(24) => thought("", "length"),
        _ => thought("<think>He?</think>\nMarie Curie", "stop"),
    });
    let server = connect(&mock);
    assert_eq!(
        server.generate_all(&["Who?", "And?"]).unwrap(),
        [Answer::whole("Marie Curie"), Answer::whole("Marie Curie")]
    );
    let budgets: Vec<_> =
        mock.requests().iter().filter_map(|request| request.body["max_tokens"].as_u64()).collect();
    assert_eq!(budgets, [24, 1024, 1024, 1024], "the first question tells that the model thinks");
}

#[test]
fn a_budget_that_was_spent_on_thinking_is_cut_and_the_way_out_is_told() {
    for message in [
        json!({ "content": null, "reasoning": "Isaac" }),
        json!({ "content": "<think>Isaac" }),
        json!({ "content": null }),
    ] {
        let mock = Mock::playing(vec![Act::message(message, "length")]);
        let server = connect(&mock);
        assert_eq!(one(&server).unwrap(), Answer::cut(""));
        let notes = server.notes().join("\n");
        assert!(
            notes.contains(
                "1 answer was cut while the model was thinking, after 1024 tokens: --reasoning-tokens"
            ),
            "{notes}"
        );
    }
    let spent =
        Act::error(400, "Could not finish the message because max_tokens or model output limit was reached.");
    let mock = Mock::playing(vec![spent, Act::content("Marie")]);
    assert_eq!(one(&connect(&mock)).unwrap(), Answer::whole("Marie"));
}

#[test]
fn an_answer_whose_first_line_is_whole_is_not_cut() {
    let mock = Mock::playing(vec![Act::message(json!({ "content": "Marie Curie\nwas born in" }), "length")]);
    assert_eq!(one(&connect(&mock)).unwrap(), Answer::whole("Marie Curie"));
    let mock = Mock::playing(vec![Act::message(json!({ "content": "It was Marie" }), "length")]);
    assert_eq!(one(&connect(&mock)).unwrap(), Answer::cut("It was Marie"));
    assert_eq!(mock.asked().len(), 1, "it did not think");
}

#[test]
fn refusals_and_filters_are_answers_and_the_others_go_on() {
    let filtered = json!({ "error": { "code": "content_filter", "message": "filtered" } }).to_string();
    let mock = Mock::new(move |request| match request.prompt() {
        _ if request.method == "GET" => Act::status(404, ""),
        "refusal" => Act::message(json!({ "content": null, "refusal": "I cannot." }), "stop"),
        "filter" => Act::status(400, filtered.clone()),
        "empty" => Act::content(""),
        _ => Act::content("Marie"),
    });
    let answers = connect(&mock).generate_all(&["refusal", "filter", "empty", "fine"]).unwrap();
    let finishes: Vec<_> = answers.iter().map(|answer| answer.finish).collect();
    assert_eq!(finishes, [Finish::Refused, Finish::Refused, Finish::Refused, Finish::Stop]);
    assert_eq!(answers[0].text, "I cannot.");
}

#[test]
fn fields_that_a_server_does_not_take_are_left_out_from_then_on_and_that_is_said() {
    let mock = Mock::new(|request| {
        let has = |field: &str| request.body.get(field).is_some();
        match () {
            () if request.method == "GET" => Act::status(404, ""),
            () if has("max_tokens") => Act::error(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            ),
            () if has("temperature") => {
                Act::error(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
            }
            () if has("seed") => Act::status(
                422,
                r#"{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}"#,
            ),
            () => Act::content("Marie"),
        }
    });
    let server = connect(&mock);
    assert_eq!(server.generate_all(&["a", "b", "c"]).unwrap().len(), 3);
    assert_eq!(mock.asked().len(), 3, "all was learnt from the first question");
    assert_eq!(mock.asked()[0].body["max_completion_tokens"], 24);
    let notes = server.notes().join("\n");
    assert!(notes.contains("no `temperature`") && notes.contains("no `seed`"), "{notes}");
}

#[test]
fn options_are_sent_and_are_part_of_the_identity() {
    let mock = Mock::playing(vec![Act::content("Marie")]);
    let options: Options = serde_json::from_str(r#"{"reasoning_effort": "low", "seed": null}"#).unwrap();
    let server = connect_with(&mock, &ServerConfig { options, ..config() }).unwrap();
    one(&server).unwrap();
    let body = &mock.asked()[0].body;
    assert!(body["reasoning_effort"] == "low" && body.get("seed").is_none());
    assert_ne!(server.id(), connect(&mock).id());
    let fewer = connect_with(&mock, &ServerConfig { parallel: 2, ..config() }).unwrap();
    assert_eq!(fewer.id(), connect(&mock).id());
}

#[test]
fn a_switch_for_thinking_is_turned_off_where_the_server_shows_it() {
    let mock = Mock::new(|request| match request.path.as_str() {
        "/v1/models" => {
            Act::body(r#"{"data": [{"id": "m", "owned_by": "llamacpp", "meta": {"n_params": 5}}]}"#)
        }
        "/props" => Act::body(r#"{"chat_template": "{% if enable_thinking %}<think>{% endif %}"}"#),
        _ => Act::content("Marie"),
    });
    let sent = |thinking| {
        let server = connect_with(&mock, &ServerConfig { thinking, ..config() }).unwrap();
        one(&server).unwrap();
        (mock.asked().last().unwrap().body.pointer("/chat_template_kwargs/enable_thinking").cloned(), server)
    };
    let (switch, server) = sent(Thinking::Auto);
    assert!(switch == Some(json!(false)) && server.notes()[0].contains("asked not to think"));
    assert_eq!(sent(Thinking::On).0, None);
    assert_ne!(sent(Thinking::On).1.id(), server.id());
    let plain = Mock::playing(vec![Act::content("Marie")]);
    one(&connect(&plain)).unwrap();
    assert!(plain.asked()[0].body.get("chat_template_kwargs").is_none());
}

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

#[test]
fn a_query_of_the_address_stays_behind_the_path() {
    let mock = Mock::playing(vec![Act::content("Marie")]);
    let address = format!("{}?api-version=2024-06-01#m", mock.url());
    let server = Server::with_key(&address, None, &config(), &GenerateConfig::default()).unwrap();
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

#[test]
fn neither_key_nor_prompt_goes_to_another_host() {
    let thief = Mock::playing(vec![Act::content("Marie")]);
    let elsewhere = format!("Location: {}/chat/completions", thief.url());
    let mock = Mock::playing(vec![Act::status(307, "").with(&elsewhere)]);
    let key = Key::new("RAGBIAS_API_KEY", "sk-secret").unwrap();
    let server =
        Server::with_key(&format!("{}#m", mock.url()), Some(key), &config(), &GenerateConfig::default())
            .unwrap();
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
    let server = Server::with_key(&mock.url(), Some(key), &config(), &GenerateConfig::default()).unwrap();
    let error = one(&server).unwrap_err();
    assert!(error.to_string().contains("the key (key) is for another project"), "{error}");
    assert!(!format!("{error} {error:?} {server:?}").contains("sk-secret"));
}

#[test]
fn a_choice_is_read_from_both_orders() {
    // A is liked by a factor of 2 wherever it stands, the positive claim by a factor of 1.5.
    let mock = Mock::new(|request| match request.prompt() {
        _ if request.method == "GET" || request.is_first() => Act::content("A"),
        prompt if prompt.contains("A: left\nB: right") => likely(&[("A", 0.4), (" B", 0.3), ("The", 0.1)]),
        _ => likely(&[("(A", 0.6), ("B.", 0.2), ("The", 0.1)]),
    });
    let choice = choice(&connect(&mock));
    assert!((choice.log_odds - 1.5_f64.ln()).abs() < 1e-9, "{choice:?}");
    assert!(
        (choice.position_bias - 2.0_f64.ln()).abs() < 1e-9 && (choice.coverage - 0.75).abs() < 1e-9,
        "{choice:?}"
    );
    assert_eq!(mock.asked()[0].body["max_tokens"], 1);
}

/// A model that tells log-probabilities of its thinking, and says B wherever the positive claim stands there.
fn thinking_aloud(request: &Request) -> Act {
    match request.body.get("top_logprobs") {
        _ if request.method == "GET" || request.is_first() => Act::content("A"),
        Some(_) => likely(&[("Okay", 0.9), ("A", 0.09), ("B", 0.01)]),
        None => {
            Act::content(if request.prompt().contains("B: right") { "The answer is **B**." } else { "A" })
        }
    }
}

#[test]
fn where_the_letters_have_too_little_probability_they_are_sampled_in_both_orders() {
    let mock = Mock::new(thinking_aloud);
    let server = connect_with(&mock, &ServerConfig { samples: 4, ..config() }).unwrap();
    let choice = choice(&server);
    assert!(
        (choice.log_odds - (4.5_f64 / 0.5).ln()).abs() < 1e-9 && choice.position_bias.abs() < 1e-9,
        "{choice:?}"
    );
    let sampled: Vec<_> =
        mock.asked().into_iter().filter(|request| request.body.get("top_logprobs").is_none()).collect();
    assert_eq!(sampled.len(), 8);
    assert!(sampled.iter().all(|request| request.body["temperature"] == 1.0));
    let seeds: Vec<_> = sampled.iter().map(|request| request.body["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [0, 1, 2, 3, 0, 1, 2, 3]);
    assert!(
        server.notes().join("\n").contains("1 choice was read from 4 sampled letters"),
        "{:?}",
        server.notes()
    );
}

#[test]
fn a_user_who_wants_log_probabilities_alone_is_told_the_coverage() {
    let server = connect_with(
        &Mock::new(thinking_aloud),
        &ServerConfig { choices: ChoiceMethod::Logprobs, ..config() },
    )
    .unwrap();
    let error = server.choose_all(&[PROMPT]).unwrap_err().to_string();
    assert!(
        error.contains("A and B have 10% of the probability") && error.contains("--choices sample"),
        "{error}"
    );
    let silent = Mock::playing(vec![Act::content("A")]);
    let server =
        connect_with(&silent, &ServerConfig { choices: ChoiceMethod::Logprobs, ..config() }).unwrap();
    let error = server.choose_all(&[PROMPT]).unwrap_err().to_string();
    assert!(error.contains("no log-probabilities") && error.contains("--choices sample"), "{error}");
}

#[test]
fn a_server_without_log_probabilities_is_asked_for_them_once() {
    for refusing in [true, false] {
        let mock = Mock::new(move |request| match request.body.get("top_logprobs") {
            Some(_) if refusing => Act::error(400, "logprobs is not supported with this model"),
            _ => Act::content(if request.prompt().contains("A: right") { "A" } else { "B" }),
        });
        let server = connect_with(&mock, &ServerConfig { samples: 2, ..config() }).unwrap();
        for _ in 0..2 {
            assert!(choice(&server).log_odds > 0.0);
        }
        let told = mock.asked().iter().filter(|request| request.body.get("top_logprobs").is_some()).count();
        assert_eq!((told, mock.asked().len()), (1, if refusing { 10 } else { 9 }));
        assert!(server.notes().join("\n").contains(
            "2 choices were read from 2 sampled letters in each order of the claims, as the server tells no"
        ));
    }
}

#[test]
fn fewer_log_probabilities_are_taken_where_fewer_are_allowed() {
    let mock = Mock::new(|request| match request.body["top_logprobs"].as_u64() {
        Some(n) if n > 5 => {
            Act::error(400, "Invalid value for 'top_logprobs': must be less than or equal to 5.")
        }
        Some(_) => likely(&[("A", 0.9), ("B", 0.05)]),
        None => Act::content("A"),
    });
    assert!((choice(&connect(&mock)).coverage - 0.95).abs() < 1e-9);
    let asked: Vec<_> =
        mock.asked().iter().map(|request| request.body["top_logprobs"].as_u64().unwrap()).collect();
    assert_eq!(asked, [20, 5, 5]);
}

#[test]
fn a_model_that_gives_no_letter_made_no_choice() {
    let sample = ServerConfig { choices: ChoiceMethod::Sample, samples: 4, ..config() };
    let chosen_of = |act: Act| {
        let mock = Mock::playing(vec![act]);
        (chosen(&connect_with(&mock, &sample).unwrap()), mock.asked().len())
    };
    assert_eq!(chosen_of(Act::content("I would rather not say.")), (Chosen::Refused, 3), "more cannot help");
    assert_eq!(chosen_of(Act::message(json!({ "content": "Well, the" }), "length")).0, Chosen::Cut);
    assert_eq!(chosen_of(Act::status(400, r#"{"error": {"code": "content_filter"}}"#)).0, Chosen::Refused);
    let refusing = Mock::playing(vec![Act::status(400, r#"{"error": {"code": "content_filter"}}"#)]);
    assert_eq!(chosen(&connect(&refusing)), Chosen::Refused);
}

#[test]
fn a_letter_that_is_liked_wherever_it_stands_is_no_choice() {
    let mock = Mock::playing(vec![likely(&[("A", 0.99), ("C", 0.001)])]);
    let server = connect(&mock);
    let choice = choice(&server);
    assert!(choice.log_odds == 0.0 && choice.position_bias > 4.0, "{choice:?}");
    assert!(server.notes().join("\n").contains("1 choice was taken as even"));
}

#[test]
fn another_model_behind_the_same_address_is_another_identity() {
    let of = |model: &str, answered: &str| {
        let (model, answered) = (model.to_owned(), answered.to_owned());
        let mock = Mock::new(move |request| match request.method.as_str() {
            "GET" => Act::body(json!({ "data": [{ "id": model, "created": 5 }] }).to_string()),
            _ => Act::body(
                json!({ "model": answered, "choices": [{ "message": { "content": "A" } }] }).to_string(),
            ),
        });
        connect(&mock)
    };
    // Every mock has a port of its own, so that ids differ; what is compared is what goes into them.
    let (a, b) = (of("a", "x"), of("a", "y"));
    assert_ne!(a.identity, b.identity);
    assert_ne!(a.identity, of("b", "x").identity);
    assert_eq!(a.identity, of("a", "x").identity);
    assert_eq!(a.assumed(), None);
    let mock = Mock::playing(vec![Act::content("A")]);
    assert_eq!(connect(&mock).id(), connect(&mock).id());
    assert_eq!(connect(&mock).assumed(), Some(format!("`m` at {}/chat/completions", mock.url())));
}

#[test]
fn a_model_that_changes_within_a_run_ends_it_and_a_fingerprint_that_changes_is_told() {
    let act = |model: &str, fingerprint: &str| {
        Act::body(json!({ "model": model, "system_fingerprint": fingerprint, "choices": [{ "message": { "content": "A" } }] }).to_string())
    };
    let mock = Mock::playing(vec![act("m", "fp_1"), act("m", "fp_2"), act("other", "fp_1")]);
    let server = connect_with(&mock, &ServerConfig { parallel: 1, ..config() }).unwrap();
    let kept = Mutex::new(0);
    let error = server.generate(&["a", "b", "c", "d"], &|_, _| {
        *kept.lock().unwrap() += 1;
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("came from `other`, where the model was `m` before"), "{error}");
    assert_eq!((*kept.lock().unwrap(), mock.asked().len()), (2, 3));
    assert!(server.notes().join("\n").contains("1 under fp_2"), "{:?}", server.notes());
}

#[test]
fn answers_come_in_parallel_and_as_if_one_by_one() {
    let mock = Mock::new(|request| {
        if request.method == "POST" && !request.is_first() {
            std::thread::sleep(Duration::from_millis(30));
        }
        Act::content(&format!("answer to {}", request.prompt()))
    });
    let prompts: Vec<String> = (0..40).map(|n| format!("question {n}")).collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let answers = connect_with(&mock, &ServerConfig { parallel: 8, ..config() })
        .unwrap()
        .generate_all(&prompts)
        .unwrap();
    for (answer, prompt) in answers.iter().zip(&prompts) {
        assert_eq!(answer.text, format!("answer to {prompt}"));
    }
    assert!((2..=8).contains(&mock.most_at_once()), "{} at once", mock.most_at_once());
    assert_eq!(mock.asked().len(), 40);
}

#[test]
fn a_server_that_limits_the_rate_is_asked_less_at_once_and_rests_as_long_as_it_asks() {
    let busy = AtomicUsize::new(0);
    let mock = Mock::new(move |request| {
        if request.method == "GET" || request.is_first() {
            return Act::content("A");
        }
        let many = busy.fetch_add(1, Ordering::SeqCst) >= 4;
        std::thread::sleep(Duration::from_millis(5));
        busy.fetch_sub(1, Ordering::SeqCst);
        if many { Act::error(429, "slow down").with("retry-after-ms: 20") } else { Act::content("Marie") }
    });
    let server = connect(&mock);
    let prompts = ["Who?"; 60];
    assert_eq!(server.generate_all(&prompts).unwrap(), vec![Answer::whole("Marie"); 60]);
    let limited = server.throttle.limited();
    assert!(
        limited.times > 0 && limited.fewest < 16 && limited.waited >= Duration::from_millis(15),
        "{limited:?}"
    );
    assert!(server.notes().join("\n").contains("limited the rate"));
}

#[test]
fn a_prompt_that_fails_loses_none_of_its_neighbours() {
    let mock = Mock::new(|request| match request.prompt() {
        "bad" => Act::error(400, "this one not"),
        "slow" => {
            std::thread::sleep(Duration::from_millis(100));
            Act::content("kept")
        }
        _ => Act::content("A"),
    });
    let kept = Mutex::new(Vec::new());
    let mut prompts = vec!["slow", "bad", "slow"];
    prompts.extend(["later"; 200]);
    let server = connect_with(&mock, &ServerConfig { parallel: 3, ..config() }).unwrap();
    let error = server.generate(&prompts, &|number, answer: Answer| {
        kept.lock().unwrap().push((number, answer.text));
        Ok(())
    });
    assert!(error.unwrap_err().to_string().contains("this one not"));
    let kept = kept.into_inner().unwrap();
    assert!(kept.contains(&(0, "kept".into())) && kept.contains(&(2, "kept".into())), "{kept:?}");
    assert!(mock.asked().len() < 100, "nothing new is begun");
}

#[test]
fn a_wrong_key_stops_requests_at_once_and_those_in_flight_are_kept() {
    let mock = Mock::new(|request| match request.prompt() {
        "first" => Act::error(401, "expired"),
        "retrying" => Act::error(503, "busy"),
        "slow" => {
            std::thread::sleep(Duration::from_millis(100));
            Act::content("kept")
        }
        _ => Act::content("A"),
    });
    let server =
        connect_with(&mock, &ServerConfig { parallel: 3, backoff: Duration::from_millis(50), ..config() })
            .unwrap();
    let kept = AtomicUsize::new(0);
    let mut prompts = vec!["retrying", "slow", "first"];
    prompts.extend(["later"; 100]);
    let error = server.generate(&prompts, &|_, _| {
        kept.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    assert!(error.unwrap_err().to_string().contains("status 401: expired"));
    assert_eq!(kept.load(Ordering::SeqCst), 1);
    let asked = mock.asked();
    let later = asked.iter().filter(|request| request.prompt() == "later").count();
    let retried = asked.iter().filter(|request| request.prompt() == "retrying").count();
    assert!(later == 0 && retried == 1, "{later} {retried}");
}

#[test]
fn an_error_of_the_keeper_ends_everything() {
    let mock = Mock::playing(vec![Act::content("Marie")]);
    let full = || Err(ragbias_core::Error::component("the disk is full"));
    let server = connect_with(&mock, &ServerConfig { parallel: 1, ..config() }).unwrap();
    let error = server.generate(&["a", "b", "c"], &|_, _| full()).unwrap_err();
    assert_eq!((error.to_string().as_str(), mock.asked().len()), ("the disk is full", 1));
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
        let response = transport::Response { status, kind: String::new(), after: None, text };
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
    }
}
