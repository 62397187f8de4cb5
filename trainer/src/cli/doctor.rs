//! `latch doctor`: what is installed, and what is left out without the rest.

use anyhow::Result;
use latch_tools::tools::{Tool, tools};
use serde::Serialize;

use super::output::{print, print_json};
use crate::report::paragraph;

/// Say which tools are installed, what does not work without the missing ones, and how to install them.
///
/// Training, export, evaluation and prediction need none of these tools; boards, examples and the project's own tests do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch doctor")]
pub struct Args {
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    tools: &'a [Tool],
    missing: usize,
}

/// Runs the verb.
///
/// # Errors
/// An error when standard output cannot be written.
pub fn run(args: Args) -> Result<()> {
    let tools = tools();
    if args.json {
        let missing = tools.iter().filter(|tool| !tool.installed).count();
        return print_json(&Line { tools: &tools, missing });
    }
    print(format_args!("{}", text(&tools).trim_end()))
}

/// The tools in words.
fn text(tools: &[Tool]) -> String {
    let mut text = String::new();
    for tool in tools {
        let (mark, version) = if tool.installed { ("ok     ", tool.version.as_str()) } else { ("missing", "") };
        // Not as a paragraph: the columns stay.
        text.push_str(format!("{mark}  {:<22}  {version}", tool.name).trim_end());
        text.push('\n');
        if !tool.installed {
            text += &paragraph(&format!("without it: {}", tool.without), "         ");
            text += &paragraph(&format!("to get it: {}", tool.get), "         ");
        }
    }
    let end = match tools.iter().filter(|tool| !tool.installed).count() {
        0 => "Everything is there.".to_owned(),
        missing => format!(
            "{missing} of {} tools are missing. `latch train`, `export`, `eval` and `predict` need none of them.",
            tools.len()
        ),
    };
    text + "\n" + &paragraph(&end, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_listed_with_its_price_and_remedy_within_eighty_columns() {
        let tool = |installed: bool| Tool {
            name: "valgrind".into(),
            installed,
            version: if installed { "valgrind-3.19.0".into() } else { String::new() },
            without: "instructions are not counted, which takes many words to say so that the line has to be broken"
                .into(),
            get: "`apt-get install valgrind`".into(),
        };
        let shown = text(&[tool(true), tool(false)]);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        let words = [
            "ok       valgrind",
            "valgrind-3.19.0",
            "missing  valgrind",
            "without it: instr",
            "to get it: `apt",
            "1 of 2",
        ];
        assert!(words.iter().all(|word| shown.contains(word)), "{shown}");
        assert!(text(&[tool(true)]).ends_with("Everything is there.\n"));
    }
}
