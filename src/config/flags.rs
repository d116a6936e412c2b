//! The flags, made of the table.

use clap::{Arg, ArgMatches, Command, Error};

use super::{DefaultValue, Setting, Settings, Source, TABLE, table};

impl Setting {
    /// `KEYSTEAD_DATA_DIR` is `data-dir`, and `DATABASE_URL` is `database-url`.
    pub fn flag(&self) -> String {
        self.variable.trim_start_matches("KEYSTEAD_").to_ascii_lowercase().replace('_', "-")
    }

    fn help_line(&self) -> String {
        let default = match self.default {
            DefaultValue::None => "none".to_owned(),
            DefaultValue::Text(text) => text.to_owned(),
            DefaultValue::InDataDir(before, name) => format!("{before}DATA_DIR/{name}"),
        };
        format!("{} [default: {default}] [env: {}]", self.help.trim(), self.variable)
    }
}

impl clap::Args for Settings {
    fn augment_args(command: Command) -> Command {
        TABLE.iter().fold(command, |command, setting| {
            let flag = setting.flag();
            let argument = Arg::new(setting.variable).long(flag).global(true).value_name(setting.value_name);
            command.arg(argument.help(setting.help_line()))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for setting in table::TABLE {
            if let (Some(given), Some(text)) =
                (matches.get_one::<String>(setting.variable), self.text_mut(setting.variable))
            {
                text.clone_from(given);
                self.given.sources.insert(setting.variable, Source::Flag);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Settings {
    /// Without the values: one of them may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}
