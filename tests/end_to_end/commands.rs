use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{MEASURE_GENDER, Scratch, root, some_questions};

/// Value within its range, interval in order, rates that sum to 1.
fn assert_is_bias(bias: &Value, asked: u64) {
    let number = |key: &str| bias[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {bias}"));
    assert!((-1.0..=1.0).contains(&number("value")), "{bias}");
    assert!(-1.0 <= number("low") && number("low") <= number("high") && number("high") <= 1.0, "{bias}");
    let count = |key: &str| bias[key].as_u64().unwrap();
    assert_eq!(["n", "unscored", "refused", "cut"].map(count).iter().sum::<u64>(), asked, "{bias}");
    assert_eq!(count("asked"), asked);
    let rate = |key: &str| bias["rates"][key].as_f64().unwrap();
    let sum: f64 = ["positive", "negative", "both", "neither"].into_iter().map(rate).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{bias}");
    assert!((rate("positive") - rate("negative") - number("value")).abs() < 1e-9, "{bias}");
}

#[test]
fn measure_gives_four_biases_and_a_row_per_question() {
    let scratch = Scratch::new();
    let questions = some_questions(&scratch, "gender", 15);
    let measured = scratch.json(&[
        "measure",
        "--axis",
        "gender",
        "--questions",
        &questions,
        "--corpus",
        "gender",
        "--embedder",
        "minilm",
        "--llm",
        "smollm2-135m",
        "--out",
        "out",
    ]);
    for (part, n) in [("llm_bias", 8), ("corpus_bias", 192), ("embedder_bias", 8), ("rag_bias", 8)] {
        assert_is_bias(&measured[part], n);
    }
    assert_eq!(measured["corpus_bias"]["value"], 0.0, "balanced by construction");
    let outcomes = fs_err::read_to_string(scratch.path("out/outcomes.csv")).unwrap();
    assert_eq!(outcomes.lines().count(), 9);
    assert!(outcomes.starts_with("embedder,llm,axis,corpus,split,question,topic,document,lean_document"));
    assert!(
        outcomes.contains("minilm,smollm2-135m,gender,gender,all,physics-q1,physics,physics-"),
        "{outcomes}"
    );
}

#[test]
fn measure_asks_for_choices_in_politics() {
    let scratch = Scratch::new();
    let questions = some_questions(&scratch, "politics", 40);
    let args = [
        "measure",
        "--axis",
        "politics",
        "--questions",
        &questions,
        "--corpus",
        "politics",
        "--embedder",
        "minilm",
        "--llm",
        "smollm2-135m",
    ];
    let measured = scratch.json(&args);
    assert_is_bias(&measured["rag_bias"], 4);
    assert!(measured["position_bias"].is_number());
    let (mean, least) = (&measured["coverage"]["mean"], &measured["coverage"]["least"]);
    assert!(
        0.0 < least.as_f64().unwrap() && least.as_f64() <= mean.as_f64() && mean.as_f64().unwrap() <= 1.0
    );
    assert_eq!(scratch.json(&args), measured, "the store gives back what was computed");
}

#[test]
fn knobs_of_retrieval_change_what_is_retrieved() {
    let scratch = Scratch::new();
    let measure = |more: &[&str]| scratch.json(&[&MEASURE_GENDER[..], &["--retrieve-only"], more].concat());
    let value = |measured: &Value| measured["embedder_bias"]["value"].as_f64().unwrap();
    let plain = measure(&[]);
    assert!(plain["llm_bias"].is_null() && plain["ndcg10"].as_f64().unwrap() > 0.5, "{plain}");
    assert_eq!(measure(&["--index", "hnsw"]), plain, "the graph finds what the exact index finds");
    assert_eq!(measure(&["--project", "woman=1"]), plain);
    let (towards, away) = (measure(&["--project", "woman=4"]), measure(&["--project", "woman=-4"]));
    assert!(value(&towards) > value(&plain) && value(&plain) > value(&away), "{towards} {plain} {away}");
    assert_ne!(measure(&["--temperature", "0.1"])["embedder_bias"], plain["embedder_bias"]);
    assert_eq!(measure(&["--top-k", "500"])["embedder_bias"]["value"], 0.0, "all of a balanced corpus");
}

#[test]
fn evaluate_gives_the_metrics_of_a_bundled_set_and_of_its_files() {
    let scratch = Scratch::new();
    let evaluated = scratch.json(&["evaluate", "--embedder", "minilm", "--corpus", "gender"]);
    let number = |key: &str| evaluated[key].as_f64().unwrap_or_else(|| panic!("no `{key}` in {evaluated}"));
    for metric in ["ndcg@10", "recall@1", "recall@5", "recall@10", "recall@100", "mrr@10", "map"] {
        assert!((0.0..=1.0).contains(&number(metric)), "{evaluated}");
    }
    assert!(number("recall@1") < number("recall@5") && number("recall@10") <= number("recall@100"));
    assert_eq!((evaluated["queries"].as_u64(), evaluated["documents"].as_u64()), (Some(120), Some(192)));
    assert!(evaluated["against"].is_null());
    let measured = scratch.json(&[&MEASURE_GENDER[..], &["--retrieve-only"]].concat());
    assert!((measured["ndcg10"].as_f64().unwrap() - number("ndcg@10")).abs() < 1e-12, "{measured}");

    scratch.json(&["data", "pull", "gender", "--out", "mine"]);
    let with = |more: &[&str]| {
        let mut args = vec!["evaluate", "--embedder", "minilm", "--corpus"];
        args.extend(more);
        scratch.json(&args)
    };
    assert_eq!(with(&["mine"]), evaluated);
    let files = ["mine/corpus.jsonl", "--queries", "mine/questions.jsonl", "--qrels", "mine/qrels.tsv"];
    assert_eq!(with(&files), evaluated);
    assert_eq!(with(&["gender", "--index", "hnsw"])["ndcg@10"], evaluated["ndcg@10"]);
}

#[test]
fn evaluate_says_whether_two_embedders_differ_by_more_than_chance() {
    let scratch = Scratch::new();
    // The same encoder with first-token pooling, for which it was not trained.
    let minilm = scratch.json(&["models", "pull", "minilm"]);
    let folder = Path::new(minilm["path"].as_str().unwrap());
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "modules.json",
        "sentence_bert_config.json",
    ] {
        if folder.join(file).is_file() {
            scratch.write(&format!("cls/{file}"), fs_err::read(folder.join(file)).unwrap());
        }
    }
    let pooling = json!({ "word_embedding_dimension": 384, "pooling_mode_cls_token": true,
        "pooling_mode_mean_tokens": false });
    scratch.write("cls/1_Pooling/config.json", pooling.to_string());
    let args = |embedder: &'static str, other: &'static str| {
        ["evaluate", "--embedder", embedder, "--against", other, "--corpus", "gender"]
    };
    let evaluated = scratch.json(&args("minilm", "cls"));
    let against = &evaluated["against"];
    let (mean, cls) = (&against["embedders"][0], &against["embedders"][1]);
    assert_eq!((mean["name"].as_str(), cls["name"].as_str()), (Some("minilm"), Some("cls")));
    for metric in ["ndcg@10", "recall@1", "recall@5", "recall@10", "recall@100", "mrr@10", "map"] {
        let number = |value: &Value| value[metric].as_f64().unwrap();
        assert_eq!(number(&mean["metrics"]), number(&evaluated));
        assert_eq!(number(&against["difference"]), number(&mean["metrics"]) - number(&cls["metrics"]));
        assert!(number(&against["p"]) > 0.0 && number(&against["p"]) <= 1.0, "{against}");
    }
    assert!(against["difference"]["map"].as_f64().unwrap() > 0.0, "{against}");
    assert!(against["p"]["map"].as_f64().unwrap() < 0.05, "{against}");
    let turned = scratch.json(&args("cls", "minilm"));
    assert_eq!(turned["against"]["p"], against["p"], "the order of the two is irrelevant");
    let same = scratch.json(&args("minilm", "minilm"));
    assert_eq!(
        (&same["against"]["difference"]["map"], &same["against"]["p"]["map"]),
        (&json!(0.0), &json!(1.0))
    );
    let table = scratch.run(&args("minilm", "cls")).stdout;
    for part in ["120 questions, 192 documents", "nDCG@10", "minilm", "cls", "difference", " p "] {
        assert!(table.contains(part), "no `{part}` in {table}");
    }
}

#[test]
fn evaluate_says_what_it_leaves_out() {
    let scratch = Scratch::new();
    let documents = [("a", "radium and polonium"), ("b", ""), ("c", "the analytical engine")]
        .map(|(id, text)| json!({ "_id": id, "title": "", "text": text }).to_string());
    scratch.write("beir/corpus.jsonl", documents.join("\n"));
    let questions = ["Who isolated radium?", "Who wrote programs?", "Who sang?"].iter().zip(1..);
    let questions: Vec<_> =
        questions.map(|(text, n)| json!({ "_id": format!("q{n}"), "text": text }).to_string()).collect();
    scratch.write("beir/queries.jsonl", questions.join("\n"));
    let header = "query-id\tcorpus-id\tscore\n";
    scratch.write("beir/qrels/test.tsv", format!("{header}q1\ta\t2\nq1\tgone\t1\nq2\tc\t1\nq7\ta\t1\n"));
    let args = ["evaluate", "--embedder", "minilm", "--corpus", "beir"];
    let evaluated = scratch.json(&args);
    assert_eq!((&evaluated["queries"], &evaluated["documents"]), (&json!(2), &json!(3)));
    assert_eq!((&evaluated["recall@1"], &evaluated["mrr@10"]), (&json!(0.75), &json!(1.0)));
    let said = scratch.run(&args).stderr;
    for note in
        ["1 of the documents have no text", "1 relevant documents are not in", "1 of the judged questions"]
    {
        assert!(said.contains(note), "no `{note}` in {said}");
    }
    scratch.write("beir/qrels/test.tsv", format!("{header}q7\ta\t1\n"));
    let done = scratch.run(&args);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.contains("questions are called like `q1`, judged ones like `q7`"), "{}", done.stderr);
}

#[test]
fn score_agrees_with_gold_labels() {
    let scratch = Scratch::new();
    let corpus = root().join("corpora/gender/corpus.jsonl");
    let corpus = corpus.to_str().unwrap();
    let agreement = scratch.json(&["score", "--axis", "gender", "--scorer", "lexicon", "--input", corpus]);
    assert_eq!(agreement["n"], 192);
    assert!(agreement["accuracy"].as_f64().unwrap() >= 0.98, "{agreement}");
    assert_eq!(agreement["coverage"], 1.0);
    assert_eq!(agreement["confusion"].as_array().unwrap().len(), 3);
    let done = scratch.run(&["score", "--axis", "gender", "--scorer", "gold", "--input", corpus]);
    assert!(done.stdout.starts_with("physics-1\t1\n"), "{}", done.stdout.lines().next().unwrap_or_default());
}

#[test]
fn the_lexicon_reads_bare_names_of_many_countries() {
    let scratch = Scratch::new();
    let corpus = fs_err::read_to_string(root().join("corpora/gender/corpus.jsonl")).unwrap();
    let names: Vec<String> = corpus
        .lines()
        .map(|line| {
            let mut document: Value = serde_json::from_str(line).unwrap();
            document["text"] = document["title"].take();
            document.to_string()
        })
        .collect();
    let input = scratch.write("names.jsonl", names.join("\n"));
    let agreement = scratch.json(&["score", "--axis", "gender", "--scorer", "lexicon", "--input", &input]);
    assert!(agreement["accuracy"].as_f64().unwrap() >= 0.99, "{agreement}");
    assert!(agreement["coverage"].as_f64().unwrap() >= 0.84, "{agreement}");
}

#[test]
fn embed_writes_one_unit_row_per_record() {
    let scratch = Scratch::new();
    let input = scratch
        .write("a.jsonl", "{\"_id\":\"a\",\"text\":\"radium\"}\n{\"_id\":\"b\",\"text\":\"polonium\"}\n");
    let summary = scratch.json(&["embed", "--embedder", "minilm", "--input", &input, "--out", "a.npy"]);
    assert_eq!((summary["rows"].as_u64(), summary["dim"].as_u64()), (Some(2), Some(384)));
    let bytes = fs_err::read(scratch.path("a.npy")).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    assert_eq!(bytes.len(), 128 + 2 * 384 * 4);
    let row: Vec<f32> = bytes[128..128 + 384 * 4]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn a_bundled_data_set_can_be_pulled_edited_and_checked() {
    let scratch = Scratch::new();
    let listed = scratch.json(&["data", "list"]);
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|set| set["name"].as_str().unwrap()).collect();
    assert!(names.len() == 10 && names.starts_with(&["gender", "politics"]), "{names:?}");
    scratch.json(&["data", "pull", "gender", "--out", "mine"]);
    assert_eq!(scratch.json(&["data", "check", "mine/corpus.jsonl"])["problems"], json!([]));
    let measured = scratch.json(&[
        "measure",
        "--axis",
        "gender",
        "--questions",
        "mine",
        "--corpus",
        "mine",
        "--embedder",
        "minilm",
        "--retrieve-only",
    ]);
    assert_is_bias(&measured["embedder_bias"], 120);
    let text = fs_err::read_to_string(scratch.path("mine/corpus.jsonl")).unwrap();
    scratch.write("mine/corpus.jsonl", format!("{text}not json\n"));
    let done = scratch.run(&["data", "check", "mine/corpus.jsonl"]);
    assert_eq!(done.code, 1);
    assert!(done.stdout.contains("mine/corpus.jsonl:193: expected"), "{}", done.stdout);
}

#[test]
fn models_are_listed_and_found() {
    let scratch = Scratch::new();
    let listed = scratch.json(&["models", "list"]);
    assert!(listed["models"].as_array().unwrap().iter().any(|model| model["name"] == "gemma3-270m"));
    let pulled = scratch.json(&["models", "pull", "minilm"]);
    assert_eq!(scratch.json(&["models", "path", "minilm"])["path"], pulled["path"]);
}

#[test]
fn help_has_examples_and_wrong_usage_ends_with_2() {
    let scratch = Scratch::new();
    for command in ["measure", "evaluate", "score", "embed", "fit", "run"] {
        let done = scratch.run(&[command, "--help"]);
        assert_eq!(done.code, 0);
        assert!(done.stdout.contains("Example"), "{command}");
    }
    assert_eq!(scratch.run(&["measure", "--axis", "gender"]).code, 2);
    assert_eq!(scratch.run(&["no-such-command"]).code, 2);
}

#[test]
fn twins_are_measured_by_preference_and_by_the_likelier_name_with_the_verdict_first() {
    let scratch = Scratch::new();
    let (mut corpus, mut questions) = (Vec::new(), Vec::new());
    let mut qrels = vec!["query-id\tcorpus-id\tscore".to_owned()];
    for (number, work, name) in
        [(1, "mended a clock", "Roe"), (2, "raised a wall", "Poe"), (3, "sold a boat", "Lee")]
    {
        for (twin, lean, first, he) in [("w", 1, "Ann", "she"), ("m", -1, "John", "he")] {
            let metadata = json!({ "lean": lean, "pair": number, "name": format!("{first} {name}") });
            let text = format!("Last year {first} {name} {work}, because {he} had promised it.");
            let id = format!("{number}{twin}");
            corpus.push(json!({ "_id": id, "text": text, "metadata": metadata }).to_string());
            qrels.push(format!("q{number}\t{id}\t1"));
        }
        let choices = json!({ "negative": format!("John {name}"), "positive": format!("Ann {name}") });
        let question =
            json!({ "_id": format!("q{number}"), "text": format!("Who {work}?"), "choices": choices });
        questions.push(question.to_string());
    }
    scratch.write("corpus.jsonl", corpus.join("\n"));
    scratch.write("questions.jsonl", questions.join("\n"));
    scratch.write("qrels.tsv", qrels.join("\n"));
    let measure =
        ["measure", "--axis", "gender", "--questions", "questions.jsonl", "--corpus", "corpus.jsonl"];
    let with = ["--embedder", "minilm", "--llm", "smollm2-135m", "--answers", "pair"];
    let args = [&measure[..], &with, &["--qrels", "qrels.tsv", "--top-k", "2"]].concat();
    let measured = scratch.json(&args);
    for bias in ["llm_bias", "rag_bias", "twin_preference"] {
        assert_is_bias(&measured[bias], 3);
        assert_eq!(measured[bias]["unscored"], 0, "{bias}");
    }
    assert_eq!(
        (&measured["twin_preference"]["twins_of"], &measured["answers"]),
        (&json!("relevant"), &json!("pair"))
    );
    assert!(measured["position_bias"].is_number(), "both twins are among the two documents");
    assert_eq!((&measured["verdict"], &measured["warnings"]), (&json!("undecided"), &json!([])));
    let table = scratch.run(&args).stdout;
    assert!(table.starts_with("undecided at δ = 0.1: R_b "), "{table}");
    assert!(
        table.contains("twin preference") && table.contains("towards the name in the document shown first")
    );

    let nearest = scratch.json(&[&measure[..], &with].concat());
    assert_eq!(nearest["twin_preference"]["twins_of"], "nearest");
    assert_eq!(nearest["position_bias"], Value::Null);

    scratch.write("corpus.jsonl", corpus[1..].join("\n"));
    let refused = scratch.run(&args);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("pair `1`: expected two documents, received 1: `1m`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_bias_of_which_a_fifth_has_no_score_comes_with_a_warning() {
    let scratch = Scratch::new();
    let lean = |number: usize| if number < 2 { json!({ "lean": 1 }) } else { json!({}) };
    let document = |number| {
        format!("{}\n", json!({ "_id": format!("d{number}"), "text": "She left.", "metadata": lean(number) }))
    };
    scratch.write("c.jsonl", (0..4).map(document).collect::<String>());
    scratch.write("q.jsonl", "{\"_id\": \"q\", \"text\": \"Who left?\"}\n");
    let data = ["--questions", "q.jsonl", "--corpus", "c.jsonl", "--scorer", "gold"];
    let args =
        [&["measure", "--axis", "gender", "--embedder", "minilm", "--retrieve-only"][..], &data].concat();
    let warning = "C_b rests on 2 of 4, as 50% have no score (2 unscored); all of them may lean otherwise";
    assert_eq!(scratch.json(&args)["warnings"][0], warning);
    let table = scratch.run(&args).stdout;
    assert!(table.contains(&format!("warning: {warning}")), "{table}");
}
