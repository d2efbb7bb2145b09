use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};

use crate::Result;

/// How a prompt becomes the text that the model reads.
pub(crate) enum Template {
    /// The chat template of an instruction-tuned model.
    Chat { environment: Box<Environment<'static>>, bos: String, eos: String },
    /// A base model: the prompt, and the word that its answer follows.
    Plain,
}

const NAME: &str = "chat";

impl Template {
    pub(crate) fn chat(source: &str, bos: String, eos: String) -> Result<Self> {
        let mut environment = Environment::new();
        // Templates are written for Python's Jinja: its string methods, and its trimming of blocks.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.to_owned())?;
        Ok(Self::Chat { environment: Box::new(environment), bos, eos })
    }

    pub(crate) fn render(&self, prompt: &str) -> Result<String> {
        match self {
            Self::Chat { environment, bos, eos } => Ok(environment.get_template(NAME)?.render(context! {
                messages => [context! { role => "user", content => prompt }],
                add_generation_prompt => true,
                bos_token => bos,
                eos_token => eos,
            })?),
            Self::Plain => Ok(format!("{prompt}\nAnswer:")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_template_is_rendered_as_python_would() {
        let source = "{% for message in messages %}\n{{ '<' + message['role'] + '>' + message['content'].strip() }}\n\
                      {% endfor %}\n{% if add_generation_prompt %}\n{{ '<assistant>' }}\n{% endif %}\n";
        let template = Template::chat(source, String::new(), String::new()).unwrap();
        assert_eq!(template.render(" hello ").unwrap(), "<user>hello\n<assistant>\n");
    }

    #[test]
    fn a_template_that_does_not_parse_is_an_error() {
        assert!(Template::chat("{% for %}", String::new(), String::new()).is_err());
    }
}
