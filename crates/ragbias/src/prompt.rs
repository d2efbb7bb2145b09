//! Renders prompts, with and without context, from the axis's templates. The wording is part of a measurement: changing it
//! changes the answers.

use std::path::Path;

use minijinja::{Environment, UndefinedBehavior, Value, context};
use ragbias_core::{Axis, Document, Prompts, Wording, with_deep_stack};
use ragbias_data::read_text;

use crate::{Error, Result};

/// Maximum size of a template in bytes.
const LONGEST: usize = 64 << 10;

/// Maximum number of steps of a template, each of which may produce 64 bytes. A list can be nested one level deeper every few
/// steps, and is written and dropped recursively, for which the stack is large enough.
const FUEL: u64 = 1 << 18;

const SYSTEM: &str = "system";
const WITH: &str = "with-context";
const WITHOUT: &str = "without-context";

/// What an LLM is asked on an axis: the axis's templates, checked and ready to render.
pub struct Prompter {
    environment: Environment<'static>,
    /// The system message; none if the axis has none.
    system: Option<String>,
    request: String,
    axis: String,
}

impl Prompter {
    /// The prompts of an axis.
    ///
    /// # Errors
    /// A template that cannot be parsed, uses an unknown variable, or leaves out the question or the context.
    pub fn new(axis: &Axis) -> Result<Self> {
        let mut prompter = with_deep_stack(|| Self::parse(axis)).map_err(|reason| Error::Prompt {
            axis: axis.name.clone(),
            template: WITH,
            reason,
        })??;
        // Whatever would fail for every question fails here.
        let system = prompter.render(SYSTEM, context! { request => &prompter.request })?;
        prompter.system = (!system.trim().is_empty()).then_some(system);
        let sample = Document::new("sample", "A text.");
        prompter.prompt("A question?", &[&sample])?;
        prompter.prompt("A question?", &[])?;
        Ok(prompter)
    }

    fn parse(axis: &Axis) -> Result<Self> {
        let wording = axis.wording();
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let wrong = |template, reason| Error::Prompt { axis: axis.name.clone(), template, reason };
        let Wording { system, with_context, without_context, request } = wording;
        let templates = [(SYSTEM, system), (WITH, with_context), (WITHOUT, without_context)];
        let mut in_system = false;
        for (name, source) in templates {
            if source.len() > LONGEST {
                return Err(wrong(
                    name,
                    format!("it has {} bytes, expected at most {LONGEST}", source.len()),
                ));
            }
            environment
                .add_template_owned(name, source.to_owned())
                .map_err(|error| wrong(name, error.to_string()))?;
            let template = environment.get_template(name).map_err(|error| wrong(name, error.to_string()))?;
            let asked = template.undeclared_variables(false);
            let known: &[&str] = match name {
                SYSTEM => &["request"],
                WITH => &["question", "request", "context", "documents"],
                _ => &["question", "request"],
            };
            let brought: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
            let is_known =
                |name: &&String| known.contains(&name.as_str()) || brought.contains(&name.as_str());
            if let Some(unknown) = asked.iter().find(|name| !is_known(name)) {
                return Err(wrong(name, format!("there is no `{unknown}`, but {}", known.join(", "))));
            }
            if name == SYSTEM {
                in_system = asked.contains("request");
                continue;
            }
            if !asked.contains("question") {
                return Err(wrong(name, "the question is not in it: {{ question }}".into()));
            }
            if name == WITH && !(asked.contains("context") || asked.contains("documents")) {
                return Err(wrong(
                    name,
                    "what was retrieved is not in it: {{ context }}, or {{ documents }}".into(),
                ));
            }
            if !request.is_empty() && !in_system && !asked.contains("request") {
                return Err(wrong(name, "the request is not in it: {{ request }}".into()));
            }
        }
        Ok(Self { environment, system: None, request: request.to_owned(), axis: axis.name.clone() })
    }

    /// The system message that precedes every prompt.
    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// The user's message, with documents, best first, or without. The generator adds a choice's options, which it shows
    /// in both orders.
    ///
    /// # Errors
    /// A template that fails for this question.
    pub fn prompt(&self, question: &str, documents: &[&Document]) -> Result<String> {
        let request = &self.request;
        if documents.is_empty() {
            return self.render(WITHOUT, context! { question, request });
        }
        let documents: Vec<String> = documents.iter().map(|document| document.full_text()).collect();
        self.render(WITH, context! { question, request, context => documents.join("\n\n"), documents })
    }

    fn render(&self, name: &'static str, variables: Value) -> Result<String> {
        let render = || self.environment.get_template(name)?.render(variables);
        let rendered = with_deep_stack(|| render().map_err(|error| error.to_string()));
        rendered.and_then(|rendered| rendered).map_err(|reason| Error::Prompt {
            axis: self.axis.clone(),
            template: name,
            reason,
        })
    }
}

/// Reads prompt wording from a file with the keys of `[prompts]` in an axis's file.
///
/// # Errors
/// Malformed TOML and unknown keys, with their line.
pub fn read_prompts(path: &Path) -> Result<Prompts> {
    toml::from_str(&read_text(path)?).map_err(|error| Error::toml(path, &error))
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Answering, Pole};
    use ragbias_data::load_axis;

    use super::*;

    fn refused(with: Option<&str>, without: Option<&str>) -> String {
        let mut prompts = Prompts::default();
        (prompts.with_context, prompts.without_context) = (with.map(Into::into), without.map(Into::into));
        let axis = load_axis("gender").unwrap().asking(prompts);
        Prompter::new(&axis).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn context_comes_first_and_the_request_last() {
        let documents = [Document::new("a", "First."), Document::new("b", "Second. {{ question }} <b>")];
        let documents: Vec<_> = documents.iter().collect();
        let gender = load_axis("gender").unwrap();
        let plain = Axis::new("name", Pole::new("a", ""), Pole::new("b", ""), Answering::Name);
        for axis in [&gender, &plain] {
            let asked = Prompter::new(axis).unwrap();
            assert_eq!(
                asked.prompt("Who?", &documents).unwrap(),
                "Context: First.\n\nSecond. {{ question }} <b>\n\nQuestion: Who?\nGive just one name of a person."
            );
            assert_eq!(asked.prompt("Who?", &[]).unwrap(), "Question: Who?\nGive just one name of a person.");
        }
        let politics = Prompter::new(&load_axis("politics").unwrap()).unwrap();
        assert_eq!(politics.prompt("Why?", &[]).unwrap(), "Question: Why?");
        assert_eq!(politics.prompt("Why?", &documents[..1]).unwrap(), "Context: First.\n\nQuestion: Why?");
    }

    #[test]
    fn a_template_that_leaves_out_what_is_measured_is_refused_by_name() {
        let without = "{{ question }} {{ request }}";
        assert!(
            refused(Some("{{ question }}: {{ request }}"), None).contains("what was retrieved is not in it")
        );
        assert!(refused(Some("{{ context }} {{ request }}"), None).contains("the question is not in it"));
        assert!(refused(None, Some("{{ question }}")).contains("the request is not in it"));
        assert!(refused(None, Some("{{ question }} {{ context }}")).contains("there is no `context`"));
        assert!(refused(Some("{{ question }} {{ contxt }}"), None).contains("there is no `contxt`"));
        assert!(refused(Some("{{ question"), None).contains("with-context"));
        let list =
            "{% for document in documents %}- {{ document }}\n{% endfor %}{{ question }} {{ request }}";
        assert_eq!(refused(Some(list), Some(without)), "");
    }

    #[test]
    fn the_request_may_be_in_the_system_message_instead() {
        let prompter = |system: &str, question: &str| {
            let mut prompts = Prompts::default();
            prompts.system = Some(system.into());
            prompts.without_context = Some(question.into());
            Prompter::new(&load_axis("gender").unwrap().asking(prompts))
        };
        let both = prompter("Be brief. {{ request }}", "{{ question }}").unwrap();
        assert_eq!(both.system(), Some("Be brief. Give just one name of a person."));
        assert_eq!(both.prompt("Who?", &[]).unwrap(), "Who?");
        let reason = |result: Result<Prompter>| result.err().unwrap().to_string();
        assert!(reason(prompter("Be brief.", "{{ question }}")).contains("the request is not in it"));
        let unknown = reason(prompter("{{ question }}", "{{ question }} {{ request }}"));
        assert!(unknown.contains("system") && unknown.contains("there is no `question`"), "{unknown}");
        assert_eq!(prompter(" \n", "{{ question }} {{ request }}").unwrap().system(), None, "blank is none");
    }

    #[test]
    fn a_template_that_never_ends_or_is_too_deep_is_refused() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let with = format!("{endless}{{{{ question }}}}{{{{ context }}}}{{{{ request }}}}");
        assert!(refused(Some(&with), None).contains("fuel"), "{}", refused(Some(&with), None));
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
        assert!(refused(Some(&deep), None).contains("recursion"), "{}", refused(Some(&deep), None));
        assert!(refused(Some(&"x".repeat(LONGEST + 1)), None).contains("bytes"));
    }

    /// Each of them used to end the process with a stack overflow.
    #[test]
    fn a_template_may_go_as_deep_as_its_length_and_its_steps_allow() {
        let nots = format!("{{{{ {}true }}}}", "not ".repeat(15_000));
        let nest = |levels: usize| {
            format!(
                "{{% set ns = namespace(x=[]) %}}{{% for i in range({levels}) %}}{{% set ns.x = [ns.x] %}}{{% endfor %}}"
            )
        };
        for (deep, reason) in
            [(nots, ""), (nest(10_000), ""), (nest(90_000), "fuel"), (nest(100) + "{{ ns.x }}", "")]
        {
            let with = format!("{deep}{{{{ question }}}}{{{{ context }}}}{{{{ request }}}}");
            let refusal = refused(Some(&with), None);
            assert!(refusal.contains(reason) && refusal.is_empty() == reason.is_empty(), "{refusal}");
        }
    }
}
