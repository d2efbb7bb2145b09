//! Choices from log-probabilities and from sampled letters.

use super::*;

#[test]
fn a_choice_is_read_from_both_orders() {
    // A preference for A by a factor of 2 in any position, and for the positive claim by a factor of 1.5.
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

/// A model that returns log-probabilities of its reasoning, and answers with the letter of the positive claim if that is B.
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
        error.contains("A and B have 10% of the probability") && error.contains("`choices sample`"),
        "{error}"
    );
    let silent = Mock::playing(vec![Act::content("A")]);
    let server =
        connect_with(&silent, &ServerConfig { choices: ChoiceMethod::Logprobs, ..config() }).unwrap();
    let error = server.choose_all(&[PROMPT]).unwrap_err().to_string();
    assert!(error.contains("no log-probabilities") && error.contains("`choices sample`"), "{error}");
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
