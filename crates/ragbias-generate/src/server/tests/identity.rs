//! The identity of the model.

use super::*;

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
    // Every mock has its own port, so ids differ; the inputs of the ids are compared.
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
    let error = server.generate(&["a", "b", "c", "d"].map(Prompt::from), &|_, _| {
        *kept.lock().unwrap() += 1;
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("came from `other`, where the model was `m` before"), "{error}");
    assert_eq!((*kept.lock().unwrap(), mock.asked().len()), (2, 3));
    assert!(server.notes().join("\n").contains("1 under fp_2"), "{:?}", server.notes());
}

#[test]
fn a_busy_list_of_models_is_asked_for_again_and_one_elsewhere_is_none() {
    let tries = AtomicUsize::new(0);
    let mock = Mock::new(move |request| match request.method.as_str() {
        "GET" if tries.fetch_add(1, Ordering::SeqCst) < 2 => Act::status(503, ""),
        "GET" => Act::body(r#"{"data": [{"id": "m", "created": 5}]}"#),
        _ => Act::content("A"),
    });
    assert_eq!(connect(&mock).assumed(), None);
    let mock = Mock::new(|request| match request.method.as_str() {
        "GET" => Act::status(302, "").with("Location: http://docs.invalid/"),
        _ => Act::content("A"),
    });
    assert!(
        connect(&mock).notes()[0].contains("redirects to http://docs.invalid"),
        "{:?}",
        connect(&mock).notes()
    );
}
