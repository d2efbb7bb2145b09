//! Shows the library's names of settings as flags of this program.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use clap::{Command, CommandFactory};

use crate::args::Args;

/// All long flags.
static FLAGS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    fn add(command: &Command, flags: &mut BTreeSet<String>) {
        flags.extend(command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)));
        command.get_subcommands().for_each(|command| add(command, flags));
    }
    let mut flags = BTreeSet::new();
    add(&Args::command(), &mut flags);
    flags
});

/// Adds dashes to settings in hints: the library writes `` `store FILE` ``, without dashes, because settings also occur in experiments.
pub(crate) fn with_dashes(message: &str) -> String {
    let lines =
        message.split('\n').map(|line| if line.starts_with("hint: ") { in_hint(line) } else { line.into() });
    lines.collect::<Vec<_>>().join("\n")
}

fn in_hint(line: &str) -> String {
    // Every second part is in backticks.
    let parts = line.split('`').enumerate().map(|(place, part)| {
        let is_flag = place % 2 == 1 && part.split(' ').next().is_some_and(|word| FLAGS.contains(word));
        if is_flag { format!("--{part}") } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_hints_are_flags_and_nothing_else_is() {
        let message = "question `quiet` of `store FILE`\nhint: `store FILE` names one, `ragbias run` too; `words = []`, not `store.toml`";
        assert_eq!(
            with_dashes(message),
            "question `quiet` of `store FILE`\nhint: `--store FILE` names one, `ragbias run` too; `words = []`, not `store.toml`"
        );
    }
}
