//! Chat templates: Jinja programs out of models' files.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use crate::{Error, Result};

/// How a prompt becomes the text that the model reads.
pub(crate) enum Template {
    /// The chat template of an instruction-tuned model.
    Chat(Box<Chat>),
    /// A base model: the prompt, and the word that its answer follows.
    Plain,
}

pub(crate) struct Chat {
    environment: Environment<'static>,
    path: PathBuf,
    bos: String,
    eos: String,
}

const NAME: &str = "chat";
/// Steps that a template may take, far beyond what a turn of one message needs (some thousands).
const FUEL: u64 = 1_000_000;
/// What a template may add to a prompt, in bytes.
const LONGEST_FRAME: usize = 1 << 20;
/// The largest template; published ones have up to some 20,000 characters.
const LONGEST_TEMPLATE: usize = 1 << 20;

impl Template {
    /// The template of the model file at `path`.
    ///
    /// # Errors
    /// A template that does not parse.
    pub(crate) fn chat(path: &Path, source: &str, bos: String, eos: String) -> Result<Self> {
        let failed = |source| Error::Template { path: path.into(), source };
        if source.len() > LONGEST_TEMPLATE {
            let reason =
                format!("a chat template of {} bytes, expected at most {LONGEST_TEMPLATE}", source.len());
            return Err(failed(minijinja::Error::new(ErrorKind::InvalidOperation, reason)));
        }
        let mut environment = Environment::new();
        // Templates are written for Python's Jinja: its string methods, and its trimming of blocks.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(failed)?);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        // A prompt that changes from day to day would give answers that cannot be had again: time stands still.
        environment.add_function("strftime_now", |format: String| strftime(&format));
        environment.add_template_owned(NAME, without_generation_blocks(source)).map_err(failed)?;
        Ok(Self::Chat(Box::new(Chat { environment, path: path.into(), bos, eos })))
    }

    pub(crate) fn render(&self, prompt: &str) -> Result<String> {
        match self {
            Self::Chat(chat) => chat.render(prompt),
            Self::Plain => Ok(format!("{prompt}\nAnswer:")),
        }
    }
}

impl Chat {
    fn render(&self, prompt: &str) -> Result<String> {
        let failed = |source| Error::Template { path: self.path.clone(), source };
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let context = context! {
            messages => [context! { role => "user", content => prompt }],
            add_generation_prompt => true,
            bos_token => &self.bos,
            eos_token => &self.eos,
            // What chat programs pass, and a plain question does not have.
            tools => Value::from(()),
            documents => Value::from(()),
        };
        let text = template.render(context).map_err(failed)?;
        if text.len() > prompt.len().saturating_mul(4).saturating_add(LONGEST_FRAME) {
            let reason = format!("it makes {} bytes of a prompt of {}", text.len(), prompt.len());
            return Err(failed(minijinja::Error::new(ErrorKind::InvalidOperation, reason)));
        }
        if !prompt.trim().is_empty() && !text.contains(prompt.trim()) {
            let reason = "it leaves out the user's message, or changes it";
            return Err(failed(minijinja::Error::new(ErrorKind::InvalidOperation, reason)));
        }
        Ok(text)
    }
}

/// `{% generation %}` and `{% endgeneration %}` mark what an assistant says, for training; nothing is written for them.
fn without_generation_blocks(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let end = start + length + 2;
        let tag = rest[start + 2..end - 2].trim_matches(['-', '+']).trim();
        kept.push_str(&rest[..start]);
        if matches!(tag, "generation" | "endgeneration") {
            // An empty block of the same trimming.
            let block = &rest[start..end];
            kept.push_str(&block.replacen(tag, "if true %}{% endif", 1));
        } else {
            kept.push_str(&rest[start..end]);
        }
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

/// Python's `strftime` for the first of January 2025, a Wednesday, at midnight.
fn strftime(format: &str) -> Result<String, minijinja::Error> {
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let mut kind = letters.next();
        let unpadded = kind == Some('-');
        if unpadded {
            kind = letters.next();
        }
        text.push_str(match (kind, unpadded) {
            (Some('Y'), _) => "2025",
            (Some('y'), _) => "25",
            (Some('m' | 'd'), false) => "01",
            (Some('m' | 'd'), true) => "1",
            (Some('B'), _) => "January",
            (Some('b' | 'h'), _) => "Jan",
            (Some('A'), _) => "Wednesday",
            (Some('a'), _) => "Wed",
            (Some('F'), _) => "2025-01-01",
            (Some('H' | 'M' | 'S'), false) => "00",
            (Some('H' | 'M' | 'S'), true) => "0",
            (Some('I'), false) => "12",
            (Some('p'), _) => "AM",
            (Some('j'), false) => "001",
            (Some('%'), false) => "%",
            _ => {
                let reason = format!("strftime_now(\"{format}\") holds a part that is not known here");
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason));
            }
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(source: &str) -> Result<Template> {
        Template::chat("model.gguf".as_ref(), source, "<s>".into(), "</s>".into())
    }

    fn rendered(source: &str) -> String {
        chat(source).unwrap().render("hello").unwrap()
    }

    fn refused(source: &str) -> String {
        match chat(source).and_then(|template| template.render("hello")) {
            Ok(text) => panic!("{text}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_chat_template_is_rendered_as_python_would() {
        let source = "{% for message in messages %}\n{{ '<' + message['role'] + '>' + message['content'].strip() }}\n\
                      {% endfor %}\n{% if add_generation_prompt %}\n{{ '<assistant>' }}\n{% endif %}\n";
        assert_eq!(chat(source).unwrap().render(" hello ").unwrap(), "<user>hello\n<assistant>\n");
    }

    #[test]
    fn what_templates_use_beyond_jinja_is_there() {
        let user = "{{ messages[0]['content'] }}";
        assert_eq!(
            rendered(&format!("{{%- generation -%}} {user} {{% endgeneration %}}\n{{{{ bos_token }}}}")),
            "hello <s>"
        );
        assert_eq!(
            rendered(&format!(
                "{{% if tools %}}T{{% endif %}}{{% if documents is none %}}N{{% endif %}}{user}"
            )),
            "Nhello"
        );
        assert_eq!(rendered(&format!("{user} {{{{ strftime_now('%d %b %Y') }}}}")), "hello 01 Jan 2025");
        assert_eq!(rendered("{{ messages[0] | tojson }}"), r#"{"role": "user", "content": "hello"}"#);
        assert_eq!(rendered(&format!("{{% if tools is defined and tools %}}T{{% endif %}}{user}")), "hello");
    }

    #[test]
    fn a_template_that_fails_is_an_error_that_names_the_file() {
        for (source, part) in [
            ("{% for %}", "model.gguf: its chat template"),
            ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
            (
                "{% for i in range(100000) %}{% for j in range(100000) %}{{ i }}{% endfor %}{% endfor %}",
                "fuel",
            ),
            ("{{ 'no message' }}", "leaves out the user's message"),
            ("{{ strftime_now('%Q') }}", "strftime_now"),
        ] {
            let message = refused(source);
            assert!(message.contains(part), "{message}");
        }
    }
}
