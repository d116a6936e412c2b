//! `keystead check`: every setting as it holds, where it comes from, and what is wrong with it.

use std::process::ExitCode;

use crate::{
    config::{LogFormat, Settings},
    telemetry::say,
};

/// Prints it; nothing is made or changed.
pub fn check(settings: &Settings, format: LogFormat) -> ExitCode {
    let (rows, config) = settings.examine();
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let names = width(&mut rows.iter().map(|row| row.variable.len()));
    let values = width(&mut rows.iter().map(|row| row.value.chars().count())).min(60);
    for row in &rows {
        let value = if row.value.is_empty() { "-" } else { &row.value };
        let source = row.source.to_string();
        let mut line = format!("{:names$}  {value:values$}  {source}", row.variable);
        let mut facts = vec![("setting", row.variable.as_str()), ("value", &row.value), ("source", &source)];
        if let Some(problem) = &row.problem {
            line += &format!("  WRONG: {problem}");
            facts.push(("problem", problem));
        }
        say(format, &line.replace(char::is_control, " "), &facts);
    }
    for warning in settings.warnings() {
        say(format, &format!("Note: {warning}"), &[("warning", &warning)]);
    }
    let wrong = rows.iter().filter(|row| row.problem.is_some()).count();
    if config.is_some() && wrong == 0 {
        say(format, "Every setting can be used.", &[]);
        return ExitCode::SUCCESS;
    }
    say(format, &format!("Settings that cannot be used: {wrong}."), &[]);
    ExitCode::FAILURE
}
