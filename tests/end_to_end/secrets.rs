//! Keys and passwords: sent to the server, and shown or stored nowhere.

use std::path::Path;

use crate::harness::{Done, MEASURE_GENDER, Scratch, done};
use crate::mock::{Act, Mock};

const PASSWORD: &str = "pass-word-7f3a";
const IN_QUERY: &str = "query-key-91bc";
const KEY: &str = "sk-of-the-user-55d0";

/// `printf 'me:pass-word-7f3a' | base64`
const BASIC: &str = "bWU6cGFzcy13b3JkLTdmM2E=";

fn experiment(scratch: &Scratch, llm: &str) {
    scratch.write(
        "x.toml",
        format!(
            "name = \"x\"\n[[part]]\naxis = \"gender\"\ndata = \"gender\"\nlimit = 2\nembedders = [\"minilm\"]\nllms = [\"{llm}\"]\n"
        ),
    );
}

/// Whether any file below a folder, except those written by the test, contains the text.
fn holds(folder: &Path, text: &str, written: &[&str]) -> bool {
    fs_err::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text, &[]);
        }
        let own = written.iter().any(|name| path.ends_with(name));
        !own && fs_err::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes())
    })
}

/// Fails if a secret was printed, or is in a file of the run or of the store.
fn assert_hidden(scratch: &Scratch, done: &Done) {
    for secret in [PASSWORD, IN_QUERY, KEY, BASIC] {
        assert!(!done.stdout.contains(secret), "{secret} in {}", done.stdout);
        assert!(!done.stderr.contains(secret), "{secret} in {}", done.stderr);
        assert!(!holds(&scratch.path(""), secret, &["x.toml"]), "{secret} in a file");
    }
}

/// A server that echoes everything that it was sent.
fn echo(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Mock {
    Mock::new(move |request| {
        let sent = format!("{} {}", request.path, request.header("authorization").unwrap_or_default());
        if request.method == "GET" { Act::status(404, sent) } else { act(&sent) }
    })
}

fn secret_address(mock: &Mock) -> String {
    format!("{}?api-key={IN_QUERY}#m", mock.url().replace("http://", &format!("http://me:{PASSWORD}@")))
}

#[test]
fn a_run_keeps_nothing_of_a_password() {
    let scratch = Scratch::new();
    let mock = echo(|sent| Act::content(&format!("Marie Curie {PASSWORD} {sent}")));
    experiment(&scratch, &secret_address(&mock));
    let ran = done(scratch.command(&["run", "x.toml"]).env("RAGBIAS_API_KEY", KEY));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(&format!("with {}#m", mock.url())), "{}", ran.stdout);
    assert!(ran.stderr.contains("held the key or the password"), "{}", ran.stderr);
    assert_hidden(&scratch, &ran);
    let asked = mock.asked();
    assert!(!asked.is_empty());
    for request in asked {
        assert_eq!(request.header("authorization"), Some(format!("Basic {BASIC}").as_str()));
        assert_eq!(request.path, format!("/v1/chat/completions?api-key={IN_QUERY}"));
    }
    // The run has the address without its password, and does not fall back to another one.
    let choose = done(scratch.command(&["choose", "--run", "runs/x"]).env("RAGBIAS_API_KEY", KEY));
    assert!(choose.code == 1 && choose.stderr.contains("--allow-host 127.0.0.1:"), "{}", choose.stderr);
    assert_hidden(&scratch, &choose);
}

#[test]
fn a_failure_shows_nothing_of_a_password() {
    let scratch = Scratch::new();
    let mock = echo(|sent| Act::error(400, &format!("{sent} {PASSWORD}")));
    let address = secret_address(&mock);
    experiment(&scratch, &address);
    let wrong = address.replace("/v1?", "/v1/completions?");
    let cases: [&[&str]; 4] = [
        &["run", "x.toml"],
        &[&MEASURE_GENDER[..], &["--out", "out", "--llm", &address]].concat(),
        &[&MEASURE_GENDER[..], &["--out", "out", "--llm", &wrong]].concat(),
        &[&MEASURE_GENDER[..], &["--out", "out", "--llm", address.trim_start_matches("http://")]].concat(),
    ];
    for args in cases {
        let failed = scratch.run(args);
        assert_eq!(failed.code, 1, "{}", failed.stderr);
        assert_hidden(&scratch, &failed);
    }
    let misplaced = scratch.run(&["run", "x.toml", &address]);
    assert!(misplaced.code == 2 && misplaced.stderr.contains("unexpected argument"), "{}", misplaced.stderr);
    assert_hidden(&scratch, &misplaced);
    let help = done(scratch.command(&["measure", "--help"]).env("RAGBIAS_LLM", &address));
    assert_hidden(&scratch, &help);
}

#[test]
fn a_key_goes_to_a_host_of_a_file_only_where_the_user_allows_it() {
    let scratch = Scratch::new();
    let mock = echo(|_| Act::content("Marie Curie"));
    let address = format!("{}#m", mock.url());
    experiment(&scratch, &address);
    let run = |more: &[&str]| {
        done(scratch.command(&[&["run", "x.toml", "--fresh"], more].concat()).env("RAGBIAS_API_KEY", KEY))
    };
    for more in [&[][..], &["--allow-host", "example.org"], &["--allow-host", "127.0.0.1:1"]] {
        let refused = run(more);
        let place = mock.url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("hint: `--allow-host {place}`")), "{}", refused.stderr);
        assert_hidden(&scratch, &refused);
        assert_eq!(mock.requests().len(), 0, "nothing was sent");
    }
    for more in [["--allow-host", "127.0.0.1"], ["--llm", &address]] {
        let ran = run(&more);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_hidden(&scratch, &ran);
        let last = mock.asked().pop().unwrap();
        assert_eq!(last.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    }
    // Never unencrypted, even if the user named the host.
    let far =
        [&MEASURE_GENDER[..], &["--llm", "http://192.0.2.1/v1#m", "--allow-host", "192.0.2.1"]].concat();
    let refused = done(scratch.command(&far).env("RAGBIAS_API_KEY", KEY));
    assert!(
        refused.code == 1 && refused.stderr.contains("`--allow-host http://192.0.2.1:80`"),
        "{}",
        refused.stderr
    );
}
