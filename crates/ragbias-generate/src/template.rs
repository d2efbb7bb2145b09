//! Chat templates, rendered as in Hugging Face's transformers.

mod python;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};
use ragbias_core::{Prompt, with_deep_stack};

use crate::file::GgufFile;
use crate::{Error, Result};

/// How a prompt is turned into the model's input.
pub(crate) enum Template {
    /// The chat template of an instruction-tuned model.
    Chat(Box<Chat>),
    /// For a base model: the system message, the prompt, and the word that precedes its answer.
    Plain,
}

/// A template with its variables.
pub(crate) struct Chat {
    environment: Environment<'static>,
    bos: Value,
    eos: Value,
    /// Whether the template may call for the date.
    dated: bool,
    /// Whether the template can ask for reasoning before the answer, as those of Qwen3 and SmolLM3 do by default.
    reasons: bool,
}

const KEY: &str = "tokenizer.chat_template";
const DEFAULT: &str = "tokenizer.chat_template.default";
const NAME: &str = "chat";
/// The variable by which templates are told whether the model reasons before it answers.
const THINKING: &str = "enable_thinking";

/// Maximum size; templates of published models have up to some 20 KB.
const LONGEST: usize = 64 << 10;
/// Maximum number of steps of a template, each of which may produce 64 bytes; published ones take some hundreds for one
/// message. A list can be nested one level deeper every few steps, and is written and dropped recursively, for which the stack is
/// large enough.
const FUEL: u64 = 1 << 18;

impl Template {
    /// The file's own template; `bos_and_eos` are the texts of these tokens if the model has them.
    pub(crate) fn load(file: &GgufFile, bos_and_eos: [Option<String>; 2]) -> Result<Self> {
        let source = match file.text(KEY)? {
            Some(source) => Some(source),
            None => file.text(DEFAULT)?,
        };
        match source {
            Some(source) => Self::chat(source, bos_and_eos).map_err(|reason| failed(file, reason)),
            None => match file.keys_from("tokenizer.chat_template.").next() {
                None => Ok(Self::Plain),
                Some(named) => Err(failed(file, format!("the file has none, but has `{named}`"))),
            },
        }
    }

    fn chat(source: &str, [bos, eos]: [Option<String>; 2]) -> Result<Self, String> {
        if source.len() > LONGEST {
            return Err(format!("it has {} bytes, expected at most {LONGEST}", source.len()));
        }
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| describe(&error))?);
        python::teach(&mut environment);
        let source = python::without_generation(source);
        let (dated, reasons) = (source.contains("strftime_now"), source.contains(THINKING));
        let parse = move || environment.add_template_owned(NAME, source).map(|()| environment);
        let environment = with_stack("parsed", parse)?.map_err(|error| describe(&error))?;
        let text = |text: Option<String>| text.map_or(Value::UNDEFINED, Value::from);
        let chat = Chat { environment, bos: text(bos), eos: text(eos), dated, reasons };
        Ok(Self::Chat(Box::new(chat)))
    }

    /// The model's input.
    pub(crate) fn render(&self, file: &std::path::Path, prompt: Prompt<'_>) -> Result<String> {
        match self {
            Self::Chat(chat) => {
                chat.render(prompt).map_err(|reason| Error::Template { path: file.into(), reason })
            }
            Self::Plain => {
                let system = prompt.system.map_or_else(String::new, |system| format!("{system}\n\n"));
                Ok(format!("{system}{}\nAnswer:", prompt.user))
            }
        }
    }

    /// What the model puts between its input and its answer: nothing, or white space.
    ///
    /// A chat template says so where it renders an answered prompt; if what it renders does not begin with the input for the same prompt,
    /// it is a space unless the input ends in white space. A base model's answer follows `Answer:` after a space.
    pub(crate) fn opening(&self, file: &std::path::Path, prompt: Prompt<'_>) -> Result<String> {
        const SAMPLE: &str = "Answer";
        let Self::Chat(chat) = self else { return Ok(" ".into()) };
        let failed = |reason| Error::Template { path: file.into(), reason };
        let input = chat.render(prompt).map_err(failed)?;
        // Some templates refuse an answer as the last message.
        let answered =
            with_stack("rendered", || chat.render_here(prompt, Some(SAMPLE))).and_then(|done| done);
        let told = answered.ok().and_then(|answered| {
            let opening = answered.strip_prefix(&input)?.split_once(SAMPLE)?.0;
            opening.trim().is_empty().then(|| opening.to_owned())
        });
        let usual = if input.ends_with(char::is_whitespace) { "" } else { " " };
        Ok(told.unwrap_or_else(|| usual.into()))
    }

    /// Notes for the user about the template.
    pub(crate) fn notes(&self) -> Vec<String> {
        let Self::Chat(chat) = self else { return Vec::new() };
        let dated = chat.dated.then(|| {
            format!(
                "the model's chat template may ask for the date: it is always told {}, so that answers do not depend on the \
                 day",
                python::DAY
            )
        });
        let reasons = chat.reasons.then(|| {
            format!("the model answers without reasoning first: its chat template is told that {THINKING} is false")
        });
        dated.into_iter().chain(reasons).collect()
    }

    /// What the template is told and others are not, which is part of the model's identity.
    pub(crate) fn fingerprint(&self) -> Option<&'static str> {
        match self {
            Self::Chat(chat) if chat.reasons => Some("enable_thinking=false"),
            _ => None,
        }
    }
}

impl Chat {
    /// A template that leaves out the system message is refused: the model would answer as if there were none.
    fn render(&self, prompt: Prompt<'_>) -> Result<String, String> {
        let rendered = with_stack("rendered", || self.render_here(prompt, None))??;
        match prompt.system {
            Some(system) if !rendered.contains(system.trim()) => {
                Err("it leaves out the system message".into())
            }
            _ => Ok(rendered),
        }
    }

    /// The prompt up to where an answer begins, or with an answer.
    fn render_here(&self, prompt: Prompt<'_>, answer: Option<&str>) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|error| describe(&error))?;
        let message = |role, content| context! { role, content };
        let system = prompt.system.map(|system| message("system", system));
        let answered = answer.map(|answer| message("assistant", answer));
        let messages = system.into_iter().chain([message("user", prompt.user)]).chain(answered);
        let rendered = template.render(context! {
            messages => messages.collect::<Vec<_>>(),
            tools => (),
            documents => (),
            add_generation_prompt => answer.is_none(),
            // A choice is read from the first token, and an answer is scored as a whole.
            enable_thinking => false,
            bos_token => self.bos.clone(),
            eos_token => self.eos.clone(),
        });
        rendered.map_err(|error| describe(&error))
    }
}

/// Runs `work` on a stack that is deep enough for any template; `done` names the operation for errors.
fn with_stack<T: Send>(done: &str, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    with_deep_stack(work).map_err(|reason| format!("it could not be {done}: {reason}"))
}

fn failed(file: &GgufFile, reason: String) -> Error {
    Error::Template { path: file.path().into(), reason }
}

/// The error with its line, in one line.
fn describe(error: &minijinja::Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!(
            "it takes more than {FUEL} steps, or makes more than {} MiB of text",
            (FUEL * 64) >> 20
        );
    }
    let line = error.line().map_or(String::new(), |line| format!("line {line}: "));
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let reason: String = reason.chars().take(200).collect();
    format!("{line}{}", reason.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, String> {
        let tokens = [Some("<s>".to_owned()), None];
        match Template::chat(source, tokens)? {
            Template::Chat(chat) => chat.render(" hello ".into()),
            Template::Plain => unreachable!("a template was given"),
        }
    }

    #[test]
    fn a_chat_template_is_rendered_as_python_would() {
        let source = "{% for message in messages %}\n{{ '<' + message['role'] + '>' + message['content'].strip() }}\n\
                      {% endfor %}\n{% if add_generation_prompt %}\n{{ '<assistant>' }}\n{% endif %}\n";
        assert_eq!(render(source).unwrap(), "<user>hello\n<assistant>\n");
    }

    #[test]
    fn the_system_message_is_rendered_or_the_template_refused() {
        let render = |source: &str| {
            let Template::Chat(chat) = Template::chat(source, [None, None])? else { unreachable!() };
            chat.render(Prompt { system: Some("Be brief.\n"), user: "Who?" })
        };
        let each = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}";
        assert_eq!(render(each).unwrap(), "[system]Be brief.[user]Who?");
        let last = "{{ messages[-1].content }}";
        assert_eq!(render(last).unwrap_err(), "it leaves out the system message");
        let none = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}";
        assert_eq!(render(none).unwrap_err(), "line 1: no system role");
        let plain = Template::Plain.render("".as_ref(), Prompt { system: Some("Be brief."), user: "Who?" });
        assert_eq!(plain.unwrap(), "Be brief.\n\nWho?\nAnswer:");
    }

    #[test]
    fn what_comes_between_the_input_and_an_answer_is_what_the_template_puts_there() {
        let opening = |template: Template| template.opening("".as_ref(), "Who?".into()).unwrap();
        let chat = |source: &str| opening(Template::chat(source, [None, None]).unwrap());
        let turns = "{% for m in messages %}<{{ m.role }}>\n{{ m.content }}<end>\n{% endfor %}\
                     {% if add_generation_prompt %}<assistant>\n{% endif %}";
        assert_eq!(chat(turns), "");
        let llama_2 = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }} \
                       </s>{% endif %}{% endfor %}";
        assert_eq!(chat(llama_2), " ");
        let mistral_3 = "{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}\
                         </s>{% endif %}{% endfor %}";
        assert_eq!(chat(mistral_3), "");
        let refuses = "{% if messages[-1].role != 'user' %}{{ raise_exception('no') }}{% endif %}{{ messages[-1].content }}";
        assert_eq!(
            (chat(refuses), chat(&format!("{refuses}\n\n{{{{ '\\n' }}}}"))),
            (" ".into(), String::new())
        );
        assert_eq!(opening(Template::Plain), " ");
    }

    #[test]
    fn a_model_that_can_reason_is_told_not_to_and_has_an_identity_of_its_own() {
        let source =
            "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}";
        assert_eq!(render(source).unwrap(), "<think></think>");
        let load = |source| Template::chat(source, [None, None]).unwrap();
        assert!(load(source).notes()[0].contains("enable_thinking is false"));
        assert_ne!(load(source).fingerprint(), load("plain").fingerprint());
        assert!(load("plain").notes().is_empty());
    }

    #[test]
    fn what_a_prompt_does_not_have_is_none_or_undefined() {
        let source = "{{ bos_token }}{{ eos_token }}{% if tools is none and documents is none %}plain{% endif %}\
                      {% if date_string is not defined and not custom_tools %} undated{% endif %}";
        assert_eq!(render(source).unwrap(), "<s>plain undated");
    }

    #[test]
    fn blocks_of_generation_are_as_if_they_were_not_there() {
        let source = "{% for m in messages %}\n  {%- generation -%} a {%- endgeneration %}\n{% endfor %}\
                      {%generation%}b{%+ endgeneration %}{{ '{% generation %}' }}";
        assert_eq!(render(source).unwrap(), "ab{% generation %}");
        // Found by the fuzz target `template`.
        for broken in ["{%}", "{%", "{%-%}", "{% generation }{%}%}"] {
            assert!(render(broken).unwrap_err().starts_with("line 1: "), "{broken}");
        }
    }

    #[test]
    fn the_date_is_always_the_same_one() {
        let day = "{{ strftime_now('%d %B %Y') }} {{ strftime_now('%A, %-d/%m/%y %H:%M') }}";
        assert_eq!(render(day).unwrap(), "26 July 2024 Friday, 26/07/24 00:00");
        assert!(render("{{ strftime_now('%Q') }}").unwrap_err().contains("%Q"));
        let Template::Chat(chat) = Template::chat(day, [None, None]).unwrap() else { unreachable!() };
        assert!(Template::Chat(chat).notes()[0].contains("26 July 2024"));
    }

    #[test]
    fn json_is_written_as_python_does() {
        let source = "{{ {'b': [1, 2.5, none, true], 'a': \"<é'\"} | tojson }} {{ [] | tojson }}";
        assert_eq!(render(source).unwrap(), "{\"a\": \"<é'\", \"b\": [1, 2.5, null, true]} []");
        assert_eq!(render("{{ {'a': [1]} | tojson(indent=2) }}").unwrap(), "{\n  \"a\": [\n    1\n  ]\n}");
    }

    #[test]
    fn templates_that_fail_say_where_and_why() {
        assert!(render("{% for %}").unwrap_err().starts_with("line 1: "));
        assert_eq!(
            render("\n{{ raise_exception('no system role') }}").unwrap_err(),
            "line 2: no system role"
        );
        assert!(render("{{ messages[0].content.shout() }}").is_err());
        assert!(render("{{ unknown_function() }}").unwrap_err().contains("unknown_function"));
    }

    /// Written and dropped recursively, which used to overflow the stack.
    #[test]
    fn lists_that_are_nested_as_deep_as_fuel_reaches_are_written_or_refused() {
        let nest = |fill: &str, levels: usize, then: &str| {
            let outer = format!("{{% for i in range({}) %}}", levels.min(100_000));
            render(&format!(
                "{{% set ns = namespace(x=[]) %}}{outer}{{% set ns.x = {fill} %}}{{% endfor %}}{then}"
            ))
        };
        for fill in ["[ns.x]", "{1: ns.x}", "(ns.x,)", "[ns.x] + []", "ns.x | list | list"] {
            for then in
                ["", "{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x == [] }}", "{{ ns.x | string | length }}"]
            {
                for levels in [100, 10_000, 20_000, 100_000] {
                    if let Err(reason) = nest(fill, levels, then) {
                        assert!(levels > 100 || fill.contains("1:"), "{fill} {then} {levels}: {reason}");
                    }
                }
            }
        }
        assert_eq!(nest("[ns.x]", 100, "{{ ns.x }}").unwrap(), "[".repeat(101) + &"]".repeat(101));
    }

    /// The fuzz target `template` in `tests/fuzz` searches for many more.
    #[test]
    fn damaged_templates_are_rendered_or_refused() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/template");
        let mut refused = Vec::new();
        for entry in fs_err::read_dir(seeds).unwrap() {
            let entry = entry.unwrap();
            let seed = fs_err::read(entry.path()).unwrap();
            let source = seed.split(|&byte| byte == 0).next().unwrap_or_default();
            if let Err(reason) = render(std::str::from_utf8(source).unwrap()) {
                refused.push((entry.file_name().into_string().unwrap(), reason));
            }
            for number in 0..30 {
                let damaged = ragbias_core::testing::damaged(source, number);
                if let Err(reason) = render(&String::from_utf8_lossy(&damaged)) {
                    assert!(!reason.contains("could not be"), "damage {number}: {reason}");
                }
            }
        }
        refused.sort();
        let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["forever", "nested", "recursive"], "{refused:?}");
    }

    #[test]
    fn a_template_s_cost_is_bounded() {
        let forever = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
        let double = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
        for source in [forever, double, "{{ 'a' * 1000000000 }}"] {
            assert!(render(source).unwrap_err().starts_with("it takes more than "), "{source}");
        }
        assert!(render(&"{{ 1 }}".repeat(20_000)).unwrap_err().contains("140000 bytes"));
        for deep in ["not ", "-", "(", "1+", "[", "a."] {
            let source = format!("{{{{ {} }}}}", deep.repeat(60_000 / deep.len()));
            assert!(render(&source).is_err(), "{deep}");
        }
        // Deep, but valid.
        let source = format!("{{{{ {}true }}}}", "not ".repeat(16_000));
        assert_eq!(render(&source).unwrap(), "True");
    }
}
