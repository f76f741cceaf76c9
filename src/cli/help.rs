//! The help of the program itself: subcommands in groups, each with one example.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::Cli;

/// Subcommands in groups; an example for each.
const GROUPS: &[(&str, &[(&str, &str)])] = &[
    (
        "Evaluate",
        &[
            ("eval", "korfinsts eval model.onnx --suite finsts,korsts"),
            ("compare", "korfinsts compare my-model all-MiniLM-L6-v2"),
            ("record", "korfinsts record show korfinsts-results"),
            ("merge", "korfinsts merge run --results joined"),
        ],
    ),
    (
        "Data",
        &[
            ("suite", "korfinsts suite list"),
            ("mine", "korfinsts mine run --profile strict"),
            ("release", "korfinsts release check benchmarks/korfin-shift"),
        ],
    ),
    (
        "Models",
        &[
            (
                "encode",
                "korfinsts encode model.onnx -i texts.txt -o texts.npy",
            ),
            ("tokenizer", "korfinsts tokenizer coverage ./bge-m3"),
            #[cfg(feature = "candle")]
            ("train", "korfinsts train recipe.toml --dry-run"),
            #[cfg(feature = "candle")]
            ("export", "korfinsts export checkpoints/mine -o mine-onnx"),
        ],
    ),
    (
        "Publish",
        &[
            ("leaderboard", "korfinsts leaderboard build -o site"),
            (
                "submit",
                "korfinsts submit --licence mit --statement TEXT --overlap-report FILE",
            ),
            ("verify", "korfinsts verify my-model.kfsub.zip"),
        ],
    ),
    (
        "This machine",
        &[
            ("doctor", "korfinsts doctor"),
            ("runtime", "korfinsts runtime install"),
            ("cache", "korfinsts cache list"),
            ("completions", "korfinsts completions bash"),
            ("man", "korfinsts man -o man"),
        ],
    ),
];

/// The command with its help.
pub fn command() -> clap::Command {
    let command = Cli::command();
    let about = |name: &str| {
        let found = command.find_subcommand(name);
        let about = found.and_then(clap::Command::get_about);
        about.map(ToString::to_string).unwrap_or_default()
    };
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (group, commands) in GROUPS {
        let _ = writeln!(text, "\n{group}:");
        for (name, example) in *commands {
            let _ = writeln!(text, "  {name:11}  {}", about(name));
            let _ = writeln!(text, "  {:11}  $ {example}", "");
        }
    }
    text.push_str("\n`korfinsts COMMAND --help` explains a command.\n\nGlobal options:\n{options}");
    command.help_template(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::collections::BTreeSet;

    #[test]
    fn every_subcommand_is_in_one_group_with_an_example_that_parses() {
        let listed = || GROUPS.iter().flat_map(|(_, commands)| *commands);
        let command = Cli::command();
        let all = command.get_subcommands().map(clap::Command::get_name);
        let all: BTreeSet<&str> = all.filter(|name| *name != "help").collect();
        assert_eq!(listed().count(), all.len());
        assert_eq!(listed().map(|c| c.0).collect::<BTreeSet<_>>(), all);
        for (name, example) in listed() {
            let words: Vec<&str> = example.split(' ').collect();
            assert_eq!(words[1], *name);
            assert!(Cli::try_parse_from(&words).is_ok(), "{example}");
        }
        let help = super::command().render_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    fn visit(command: &clap::Command, path: &str, check: &mut dyn FnMut(&str, &clap::Command)) {
        check(path, command);
        for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
            visit(sub, &format!("{path} {}", sub.get_name()), check);
        }
    }

    #[test]
    fn flags_are_spelled_one_way_everywhere() {
        let mut command = Cli::command();
        command.build();
        visit(&command, "korfinsts", &mut |path, command| {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else {
                    continue;
                };
                let old = ["into", "to", "dir", "folder", "json"].contains(&long);
                assert!(!old || argument.is_hide_set(), "{path} --{long}");
                let heading = argument.get_help_heading();
                match long {
                    "output" => assert_eq!(argument.get_short(), Some('o'), "{path}"),
                    "data" | "offline" | "quiet" | "verbose" => {
                        assert_eq!(heading, Some("Global options"), "{path} --{long}");
                    }
                    "format" => {
                        for value in argument.get_possible_values() {
                            assert_ne!(value.get_name(), "md", "{path}");
                        }
                    }
                    _ => assert_ne!(heading, Some("Global options"), "{path} --{long}"),
                }
                let help = argument.get_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(
                    !help.contains("[env: `") && !help.is_empty(),
                    "{path} --{long}"
                );
                for word in ["Who writes", "Their seed", "Sift", "Most tokens"] {
                    assert!(!help.contains(word), "{path} --{long}: {help}");
                }
            }
            let after = command.get_after_help().map(ToString::to_string);
            for line in after.unwrap_or_default().lines() {
                assert!(!line.contains(".auto."), "{path}: {line}");
            }
        });
    }

    #[test]
    fn old_spellings_still_work() {
        for line in [
            "korfinsts merge a --into b",
            "korfinsts leaderboard add a.zip --to b",
            "korfinsts mine report --dir a",
            "korfinsts mine generate --dir a --json",
            "korfinsts tokenizer augment a --corpus b --into c",
            "korfinsts man --folder a",
            "korfinsts eval --format md",
            "korfinsts tokenizer coverage a --format md",
            "korfinsts mine typology --format md",
            #[cfg(feature = "candle")]
            "korfinsts export a --to onnx -o b",
            #[cfg(feature = "candle")]
            "korfinsts train a --output b",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }
}
