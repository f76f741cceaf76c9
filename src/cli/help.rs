//! The help of the program itself: subcommands in groups, each with one example.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use korfinsts_base::texts::Texts;

use super::Cli;
use super::texts::texts;

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
            ("push", "korfinsts push model ./my-model my-org/my-model"),
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

/// The command with its help, in the language of the reader.
pub fn command() -> clap::Command {
    command_in(texts())
}

fn command_in(texts: &Texts) -> clap::Command {
    let mut command = Cli::command();
    if !texts.is("en") {
        command.build();
        command = said(command, texts);
    }
    let about = |name: &str| {
        let found = command.find_subcommand(name);
        let about = found.and_then(clap::Command::get_about);
        about.map(ToString::to_string).unwrap_or_default()
    };
    let usage = texts.said("Usage:");
    let mut text = format!("{{about-with-newline}}\n{usage} {{usage}}\n");
    for (group, commands) in GROUPS {
        let _ = writeln!(text, "\n{}:", texts.said(group));
        for (name, example) in *commands {
            let _ = writeln!(text, "  {name:11}  {}", about(name));
            let _ = writeln!(text, "  {:11}  $ {example}", "");
        }
    }
    let explains = texts.said("`korfinsts COMMAND --help` explains a command.");
    let options = texts.said("Global options");
    let _ = write!(text, "\n{explains}\n\n{options}:\n{{options}}");
    command.help_template(text)
}

/// A command that was built, and its subcommands, with every help text that the file of texts has.
fn said(command: clap::Command, texts: &Texts) -> clap::Command {
    // clap takes headings that stay; the program makes its help once.
    let heading = |english: &str| -> &'static str { texts.said(english).leak() };
    let argument = |argument: clap::Arg| {
        let heading = heading(match argument.get_help_heading() {
            Some(heading) => heading,
            None if argument.is_positional() => "Arguments",
            None => "Options",
        });
        let argument = argument.help_heading(heading);
        let Some(help) = argument.get_help().map(ToString::to_string) else {
            return argument;
        };
        let own = texts.said(&help);
        let argument = match argument.get_long_help().map(ToString::to_string) {
            Some(long) => argument.long_help(texts.said(&long).replacen(&help, &own, 1)),
            None => argument,
        };
        argument.help(own)
    };
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let own = texts.said(&about);
    // Paragraphs after the first one stay English.
    let long = command.get_long_about().map(ToString::to_string);
    let long = long.unwrap_or_default().replacen(&about, &own, 1);
    let after = command.get_after_help().map(ToString::to_string);
    let after = after.unwrap_or_default();
    let examples = texts.said("Examples:");
    let after = after.replacen("Examples:", &examples, 1);
    let template = format!(
        "{{about-with-newline}}\n{} {{usage}}\n\n{{all-args}}{{after-help}}",
        texts.said("Usage:")
    );
    let command = if long.is_empty() {
        command
    } else {
        command.long_about(long)
    };
    command
        .about(own)
        .after_help(after)
        .subcommand_help_heading(heading("Commands"))
        .help_template(template)
        .mut_args(argument)
        .mut_subcommands(|sub| said(sub, texts))
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

    /// No text of the help in Korean is of an argument that is no more.
    #[test]
    fn the_help_is_in_korean() {
        let korean = Texts::of("ko");
        let mut command = Cli::command();
        command.build();
        let mut english: BTreeSet<String> = GROUPS.iter().map(|g| g.0.to_owned()).collect();
        visit(&command, "korfinsts", &mut |_, command| {
            let about = command.get_about().map(ToString::to_string);
            let headings = command.get_arguments().filter_map(|a| a.get_help_heading());
            english.extend(headings.map(str::to_owned));
            let helps = command.get_arguments().filter_map(|a| a.get_help());
            english.extend(helps.map(ToString::to_string).chain(about));
            let long = command.get_arguments().filter_map(|a| a.get_long_help());
            english.extend(long.map(ToString::to_string));
        });
        let stale: Vec<&str> = korean
            .sentences("said_help_")
            .filter(|text| {
                !english.contains(*text)
                    && !["Usage:", "Examples:"].contains(text)
                    && !text.contains("COMMAND --help")
            })
            .collect();
        let own = ["Print this message or the help of the given subcommand(s)"];
        let of_clap = ["Arguments", "Commands", "Options"];
        assert!(
            stale.iter().all(|t| own.contains(t) || of_clap.contains(t)),
            "{stale:?}"
        );
        let help = |arguments: &[&str]| {
            let found = command_in(&korean).try_get_matches_from(arguments);
            found.expect_err("help").to_string()
        };
        for arguments in [
            &["korfinsts", "--help"][..],
            &["korfinsts", "eval", "--help"],
            &["korfinsts", "compare", "-h"],
            &["korfinsts", "suite", "check", "-h"],
            &["korfinsts", "leaderboard", "build", "-h"],
        ] {
            let help = help(arguments);
            for english in ["Usage", "Options", "Arguments", "Commands", "Print help"] {
                assert!(!help.contains(english), "{arguments:?}: {help}");
            }
            assert!(help.contains("사용법:") && help.contains("옵션"), "{help}");
        }
        assert!(help(&["korfinsts", "-h"]).contains("인코더를 평가셋으로 평가합니다"));
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
