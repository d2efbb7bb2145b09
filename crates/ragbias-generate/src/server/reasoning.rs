//! Removes reasoning from an answer.

/// A text without its reasoning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WithoutReasoning {
    /// The answer: everything outside the reasoning, without end-of-turn tokens.
    pub(super) text: String,
    /// Whether there was reasoning.
    pub(super) reasoned: bool,
    /// Whether the text ends within the reasoning.
    pub(super) unfinished: bool,
}

/// Tags around reasoning, compared ignoring ASCII case.
const TAGS: [(&str, &str); 9] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
];

/// End-of-turn tokens, which some servers do not remove.
const ENDS: [&str; 9] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "</s>",
    "<eos>",
];

/// Separates an answer from the reasoning before it.
///
/// A text may begin within the reasoning, if the prompt's template opened it: then there is only a closing tag.
pub(super) fn take_off(text: &str) -> WithoutReasoning {
    let channels = channels(text);
    let text = match channels {
        Channels::None => text,
        Channels::Final(message) => message,
        Channels::Unfinished => "",
    };
    let reasoned = !matches!(channels, Channels::None);
    let unfinished = matches!(channels, Channels::Unfinished);
    let mut said = WithoutReasoning { text: String::new(), reasoned, unfinished };
    let mut within: Option<&str> = None;
    let mut outside = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find(['<', '[', '◁']) {
        let place = at + found;
        let rest = &text[place..];
        let starts = |tag: &str| rest.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
        let tag = TAGS.iter().find_map(|&(open, close)| {
            if starts(open) {
                Some((open, close, true))
            } else {
                starts(close).then_some((close, close, false))
            }
        });
        at = place + rest.chars().next().map_or(1, char::len_utf8);
        let Some((tag, close, opens)) = tag else { continue };
        match within {
            None if opens => {
                said.text.push_str(&text[outside..place]);
                within = Some(close);
            }
            None => said.text.clear(),
            Some(awaited) if !opens && awaited == close => within = None,
            Some(_) => continue,
        }
        said.reasoned = true;
        at = place + tag.len();
        outside = at;
    }
    if within.is_some() {
        said.unfinished = true;
    } else {
        said.text.push_str(&text[outside..]);
    }
    let end = ENDS.iter().filter_map(|end| said.text.find(end)).min().unwrap_or(said.text.len());
    said.text.truncate(end);
    said.text = said.text.trim().to_owned();
    said
}

/// A text in the harmony format.
enum Channels<'t> {
    /// Another format.
    None,
    /// The text of its final channel.
    Final(&'t str),
    /// There is no final channel yet.
    Unfinished,
}

fn channels(text: &str) -> Channels<'_> {
    const CHANNEL: &str = "<|channel|>";
    const MESSAGE: &str = "<|message|>";
    if text.contains(CHANNEL) {
        let last = text.rsplit(CHANNEL).next().unwrap_or_default();
        let message = last.strip_prefix("final").and_then(|last| last.split_once(MESSAGE));
        return message.map_or(Channels::Unfinished, |(_, message)| Channels::Final(message));
    }
    // The same if special tokens are removed from the text.
    let thought = text.trim_start().strip_prefix("analysis");
    let message = thought.and_then(|thought| thought.rsplit_once("assistantfinal"));
    message.map_or(Channels::None, |(_, message)| Channels::Final(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> (String, bool, bool) {
        let WithoutReasoning { text, reasoned, unfinished } = take_off(text);
        (text, reasoned, unfinished)
    }

    #[test]
    fn thinking_of_every_spelling_is_taken_off() {
        for (open, close) in TAGS {
            let text = format!("{open}\nA name. Isaac Newton?\n{close}\n\nMarie Curie");
            assert_eq!(said(&text), ("Marie Curie".into(), true, false), "{text}");
        }
        assert_eq!(said("<THINK>he</THINK>Marie"), ("Marie".into(), true, false));
        assert_eq!(said("He, no.</think>Marie"), ("Marie".into(), true, false));
        assert_eq!(said("<think>a</think>Marie <think>b</think>Curie"), ("Marie Curie".into(), true, false));
        assert_eq!(
            said("<think>is `</thinking>` a tag? <think> too</think>Marie"),
            ("Marie".into(), true, false)
        );
        assert_eq!(said("<think></think>\n\nMarie"), ("Marie".into(), true, false));
    }

    #[test]
    fn unfinished_thinking_is_no_answer() {
        assert_eq!(said("<think>Isaac Newton"), (String::new(), true, true));
        assert_eq!(said("Marie <think>or Isaac"), ("Marie".into(), true, true));
        assert_eq!(said("<|channel|>analysis<|message|>Isaac"), (String::new(), true, true));
    }

    #[test]
    fn harmony_channels_leave_the_final_one() {
        let text = "<|channel|>analysis<|message|>Isaac?<|end|><|start|>assistant<|channel|>final<|message|>Marie<|return|>";
        assert_eq!(said(text), ("Marie".into(), true, false));
        assert_eq!(said("analysisIsaac?assistantfinalMarie"), ("Marie".into(), true, false));
        assert_eq!(said("analysis of radium"), ("analysis of radium".into(), false, false));
    }

    #[test]
    fn other_text_stays_as_it_is_but_for_the_end_of_a_turn() {
        assert_eq!(said("Marie <b>Curie</b> [1] ◁"), ("Marie <b>Curie</b> [1] ◁".into(), false, false));
        assert_eq!(said("Marie Curie<|im_end|>\n<|im_start|>user"), ("Marie Curie".into(), false, false));
        assert_eq!(said(""), (String::new(), false, false));
    }

    #[test]
    fn a_text_of_tags_alone_takes_time_in_proportion_to_its_length() {
        let text = "<think><".repeat(1 << 20);
        assert_eq!(said(&text), (String::new(), true, true));
    }
}
