//! Concurrent requests.

use super::*;

/// Requests that wait until all of them have arrived, however busy the machine is.
struct Together {
    arrived: Mutex<usize>,
    all: usize,
    changed: Condvar,
}

impl Together {
    fn of(all: usize) -> Self {
        Self { arrived: Mutex::new(0), all, changed: Condvar::new() }
    }

    fn wait(&self) {
        let mut arrived = self.arrived.lock().unwrap();
        *arrived += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(arrived, |arrived| *arrived < self.all).unwrap());
    }
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
    assert_eq!(server.generate_all(prompts).unwrap(), vec![Answer::whole("Marie"); 60]);
    let limited = server.throttle.limited();
    assert!(
        limited.times > 0 && limited.fewest < 16 && limited.waited >= Duration::from_millis(15),
        "{limited:?}"
    );
    assert!(server.notes().join("\n").contains("limited the rate"));
}

#[test]
fn a_prompt_that_fails_loses_none_of_its_neighbours() {
    let together = Together::of(3);
    let mock = Mock::new(move |request| match request.prompt() {
        "bad" => {
            together.wait();
            Act::error(400, "this one not")
        }
        "slow" => {
            together.wait();
            std::thread::sleep(Duration::from_millis(100));
            Act::content("kept")
        }
        _ => Act::content("A"),
    });
    let kept = Mutex::new(Vec::new());
    let mut prompts: Vec<Prompt<'_>> = ["slow", "bad", "slow"].map(Prompt::from).into();
    prompts.extend([Prompt::from("later"); 200]);
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
    let together = Together::of(3);
    let mock = Mock::new(move |request| match request.prompt() {
        "first" => {
            together.wait();
            Act::error(401, "expired")
        }
        "retrying" => {
            together.wait();
            Act::error(503, "busy")
        }
        "slow" => {
            together.wait();
            std::thread::sleep(Duration::from_millis(100));
            Act::content("kept")
        }
        _ => Act::content("A"),
    });
    let server =
        connect_with(&mock, &ServerConfig { parallel: 3, backoff: Duration::from_secs(20), ..config() })
            .unwrap();
    let kept = AtomicUsize::new(0);
    let mut prompts: Vec<Prompt<'_>> = ["retrying", "slow", "first"].map(Prompt::from).into();
    prompts.extend([Prompt::from("later"); 100]);
    let error = server.generate(&prompts, &|_, _| {
        kept.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    assert!(error.unwrap_err().to_string().contains("status 401: expired"));
    assert_eq!(kept.load(Ordering::SeqCst), 1);
    let prompts = mock.prompts();
    let times = |prompt: &str| prompts.iter().filter(|asked| *asked == prompt).count();
    let (later, retried) = (times("later"), times("retrying"));
    assert!(later == 0 && retried == 1, "{later} {retried}");
}

#[test]
fn a_rest_that_a_server_asks_for_ends_where_everything_stops() {
    let together = Together::of(2);
    let mock = Mock::new(move |request| match request.prompt() {
        "limited" => {
            together.wait();
            Act::status(429, "").with("Retry-After: 50")
        }
        "slow" => {
            together.wait();
            std::thread::sleep(Duration::from_millis(200));
            Act::error(401, "expired")
        }
        _ => Act::content("A"),
    });
    let server = connect_with(&mock, &ServerConfig { parallel: 2, ..config() }).unwrap();
    let begun = Instant::now();
    let error = server.generate_all(["limited", "slow"]).unwrap_err().to_string();
    assert!(error.contains("expired") && begun.elapsed() < Duration::from_secs(10), "{error}");
}

#[test]
fn an_error_of_the_keeper_ends_everything() {
    let mock = Mock::playing(vec![Act::content("Marie")]);
    let full = || Err(ragbias_core::Error::component("the disk is full"));
    let server = connect_with(&mock, &ServerConfig { parallel: 1, ..config() }).unwrap();
    let error = server.generate(&["a", "b", "c"].map(Prompt::from), &|_, _| full()).unwrap_err();
    assert_eq!((error.to_string().as_str(), mock.asked().len()), ("the disk is full", 1));
}
