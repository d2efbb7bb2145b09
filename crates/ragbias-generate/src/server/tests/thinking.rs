//! Models that reason, refuse or are cut, and fields that servers reject.

use super::*;

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
        server.generate_all(["Who?", "And?"]).unwrap(),
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
                "1 answer was cut while the model was thinking, after 1024 tokens\nhint: `reasoning-tokens`"
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
    let answers = connect(&mock).generate_all(["refusal", "filter", "empty", "fine"]).unwrap();
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
    assert_eq!(server.generate_all(["a", "b", "c"]).unwrap().len(), 3);
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
