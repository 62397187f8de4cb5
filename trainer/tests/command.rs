//! Promise: the command explains itself: completions, manual pages, layers, what is installed; its help is plain text.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, latch, names, refuse, succeed};

/// The verbs, as the help lists them.
fn verbs() -> Vec<String> {
    let help = succeed(&mut latch(["--help"])).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let first = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    first.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn no_help_shows_a_link_of_the_documentation() {
    let verbs = verbs();
    assert!(verbs.len() > 12 && verbs.contains(&"doctor".to_owned()), "{verbs:?}");
    for verb in verbs.iter().filter(|verb| *verb != "help") {
        let help = succeed(&mut latch([verb, "--help"])).stdout;
        assert!(!help.contains("[`") && !help.contains("`]") && !help.contains("::"), "{help}");
        assert!(help.contains("latch ") && help.contains("Usage: "), "{help}");
        let reads_no_texts = ["init", "predict", "inspect", "layers", "experiment", "doctor", "completions", "man"];
        let reads_texts = !reads_no_texts.contains(&&**verb);
        assert_eq!(help.contains("--max-memory"), reads_texts, "{help}");
    }
}

#[test]
fn completions_are_made_for_every_shell_and_another_is_refused() {
    for (shell, words) in [("bash", "complete"), ("zsh", "#compdef latch"), ("fish", "complete -c latch")] {
        let script = succeed(&mut latch(["completions", shell])).stdout;
        assert!(script.contains(words) && script.contains("quantize"), "{shell}");
    }
    let answer = crate::support::answer(&mut latch(["completions", "sh"]));
    assert_eq!(answer.code, Some(2), "{answer:?}");
}

#[test]
fn every_verb_has_a_manual_page() {
    let place = Place::with_data(20);
    assert!(succeed(&mut latch(["man"])).stdout.contains("latch"));
    succeed(&mut place.latch(["man", "--out", "man"]));
    let pages = names(&place.file("man"));
    let expected = |verb: &String| pages.contains(&format!("latch-{verb}.1"));
    assert!(
        verbs().iter().filter(|verb| *verb != "help").all(expected) && pages.contains(&"latch.1".to_owned()),
        "{pages:?}"
    );
    let page = String::from_utf8(place.read("man/latch-train.1")).expect("UTF-8");
    assert!(page.contains(".TH latch-train") && page.contains("quantize"), "{page}");
}

#[test]
fn layers_are_listed_and_explained_for_people_and_machines() {
    let table = succeed(&mut latch(["layers"])).stdout;
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let lines = succeed(&mut latch(["layers", "--json"])).json();
    let lines = lines.as_array().expect("a list");
    for line in lines {
        assert!(table.contains(line["layer"].as_str().expect("a name")), "{table}");
        for option in line["options"].as_array().expect("options") {
            assert!(table.contains(option["option"].as_str().expect("a name")), "{option}");
        }
    }
    let gru = succeed(&mut latch(["layers", "gru", "--json"])).json();
    assert_eq!(gru["multiply_adds"].as_u64(), Some(3 * 16 * 24));
    assert!(succeed(&mut latch(["layers", "gru"])).stdout.contains("reset_before"));
    refuse(&mut latch(["layers", "grue"]), &["there is no layer `grue`", "lstm, gru, rnn"]);
}

#[test]
fn doctor_says_what_is_there_and_ends_well_whatever_is_missing() {
    let mut command = latch(["doctor", "--json"]);
    // No program can be found on this path.
    let nothing = succeed(command.env("PATH", "/nowhere").env("LATCH_TOOLCHAIN", "rustup")).json();
    let tools = nothing["tools"].as_array().expect("a list");
    assert_eq!(nothing["missing"].as_u64(), Some(tools.len() as u64));
    for tool in tools {
        assert!(tool["installed"] == false && !tool["without"].as_str().expect("a price").is_empty(), "{tool}");
    }
    let text = succeed(latch(["doctor"]).env("PATH", "/nowhere").env("LATCH_TOOLCHAIN", "rustup")).stdout;
    assert!(text.contains("missing  qemu-system-arm") && text.contains("to get it:"), "{text}");
    assert!(
        text.replace('\n', " ").contains("need none of them") && text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

/// Ends a command as Ctrl-C does once a file is there.
#[cfg(unix)]
fn interrupted(mut command: std::process::Command, file: &std::path::Path) -> crate::support::Answer {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} does not come", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill").success());
    crate::support::Answer::of(child.wait_with_output().expect("it ends"))
}

#[cfg(unix)]
#[test]
fn a_training_that_is_interrupted_says_what_is_kept_and_goes_on_from_there() {
    let place = Place::with_data(300);
    let training = place.training("run", &["--epochs", "100000", "--patience", "100000"]);
    let answer = interrupted(training, &place.file("run/checkpoint"));
    assert_eq!(answer.code, Some(130), "{answer:?}");
    for words in ["stopped", "run", "latch train --resume --out run"] {
        assert!(answer.stderr.contains(words), "{answer:?}");
    }
    assert!(!place.read("run/metrics.jsonl").is_empty() && place.file("run/best.network").exists());
}
