//! The command line: what was asked becomes one call, and a failure one clear line.

mod backup;
mod check;
mod keys;
mod process;
mod serve;

use std::{
    io::{BufRead, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use zeroize::Zeroizing;

use crate::{
    actions::{
        back_up::BackUpError,
        create_admin::{CreateAdminError, NewAdmin, Workplace, create_admin},
        error_code::OUTCOME_UNKNOWN,
        reset_password::{ResetPasswordError, reset_password},
        restore_backup::RestoreError,
    },
    app::{StartError, migrate_database, open_database},
    clock::SystemClock,
    config::{self, ConfigError, Environment, LogFormat, Settings},
    domain::{
        email::Email,
        ids::OrgId,
        name::Name,
        password::{self, NewPassword},
    },
    passwords::Passwords,
    server::ServeError,
    telemetry::{self, fail, say},
};

/// The Integrations page of your product: API keys to create, rotate and revoke, and one HTTP call that tells whether a
/// key is good.
#[derive(Debug, Parser)]
#[command(name = "keystead", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten, next_help_heading = "Settings")]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the site and the verification API (the default)
    Serve,
    /// Manage admins without a browser
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Create, list, rotate and revoke API keys, also while a server runs
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Copy the SQLite database into one file, also while a server uses it
    Backup(backup::BackupArguments),
    /// Put a backup in the place of the database, and say which revocations hold for it
    Restore(backup::RestoreArguments),
    /// Bring the database's schema up to date and exit
    Migrate,
    /// Print every setting, where it comes from, and what would keep a server from starting; changes nothing, and exits
    /// with 1 if anything is wrong
    Check,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Create an admin of a new organization, or of one that exists; prints the organization's id
    Create(CreateAdminArguments),
    /// Give an account a new password and end all its sessions
    ResetPassword(ResetPasswordArguments),
}

#[derive(Debug, clap::Args)]
struct ResetPasswordArguments {
    /// E-mail address of the account
    #[arg(long)]
    email: String,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("workplace").required(true).args(["organization", "organization_id"]))]
struct CreateAdminArguments {
    /// E-mail address to sign in with
    #[arg(long)]
    email: String,
    /// Name of the organization to make
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Id of an organization that exists, org_…
    #[arg(long, value_name = "ID")]
    organization_id: Option<String>,
    /// The admin's name, as others see it [default: the address up to the @]
    #[arg(long)]
    name: Option<String>,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

/// Exit status when a command is written wrong.
const USAGE: u8 = 2;
/// Exit status when a change may be made or not.
const UNKNOWN: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    BackUp(#[from] BackUpError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    CreateAdmin(#[from] CreateAdminError),
    #[error(transparent)]
    ResetPassword(#[from] ResetPasswordError),
    #[error("{0}")]
    Argument(String),
    /// An action refused; the word is what programs know it by.
    #[error("{1}")]
    Refused(&'static str, String),
    #[error("cannot read the password: {0}")]
    Password(std::io::Error),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error(
        "cannot start the {0} threads that it needs: {1}; allow more of them (ulimit -u, TasksMax, a limit of pids)"
    )]
    Threads(usize, std::io::Error),
}

/// Of its runtime, its database and its log.
const THREADS_OF_A_COMMAND: usize = 8;

/// Runs the program.
pub fn main() -> ExitCode {
    let environment = Environment::of_process();
    let format = early_format(&environment);
    telemetry::log_panics(format);
    process::allow_no_dumps();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version.
        Err(shown) if !shown.use_stderr() => shown.exit(),
        Err(error) => {
            let first = error.to_string();
            let first = first.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            fail(format, &format!("{first}; see keystead --help"));
            return ExitCode::from(USAGE);
        }
    };
    let settings = arguments.settings.completed_from(&environment);
    match run(&settings, arguments.command.unwrap_or(Command::Serve), format) {
        Ok(code) => code,
        Err(error) => {
            fail(format, &error.to_string());
            match error {
                CliError::Refused(OUTCOME_UNKNOWN, _) => ExitCode::from(UNKNOWN),
                CliError::Refused(keys::INVALID, _) => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// How lines are written, known before anything is checked: what is wrong with the arguments is a line too.
fn early_format(environment: &Environment) -> LogFormat {
    const FLAG: &str = "--log-format";
    let arguments: Vec<String> = std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect();
    let flag = arguments.iter().enumerate().rev().find_map(|(at, text)| {
        let next = arguments.get(at + 1).filter(|_| text == FLAG);
        next.map(String::as_str).or_else(|| text.strip_prefix(FLAG)?.strip_prefix('='))
    });
    let given = flag.or_else(|| environment.get("KEYSTEAD_LOG_FORMAT"));
    given.and_then(|text| LogFormat::parse(text).ok()).unwrap_or_default()
}

fn run(settings: &Settings, command: Command, format: LogFormat) -> Result<ExitCode, CliError> {
    if matches!(command, Command::Check) {
        return Ok(check::check(settings, format));
    }
    let config = settings.check()?;
    telemetry::start(&config.log, config.log_format);
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    process::can_have_threads(match command {
        Command::Serve => process::threads_of_a_server(),
        _ => THREADS_OF_A_COMMAND,
    })?;
    let system = actix_web::rt::System::new();
    system.block_on(async {
        process::bear_limit_of_files()?;
        match command {
            Command::Serve => serve::serve(config).await,
            Command::Migrate => {
                let (_, done) = migrate_database(&config).await?;
                let line = match done.newer {
                    None => "The schema is up to date.",
                    Some(_) => "The schema is a newer version's, and this version can go on with it.",
                };
                say(format, line, &[]);
                Ok(())
            }
            Command::Backup(arguments) => backup::backup(&config, &arguments),
            Command::Restore(arguments) => backup::restore(&config, &arguments).await,
            Command::Admin(AdminCommand::Create(input)) => {
                let (workplace, admin) = input.check()?;
                let db = open_database(&config).await?;
                let id = create_admin(&db, &SystemClock, &Passwords::default(), workplace, admin).await?;
                say(format, id.as_str(), &[("organization_id", id.as_str().into())]);
                Ok(())
            }
            Command::Admin(AdminCommand::ResetPassword(input)) => {
                let (email, password) = input.check()?;
                let db = open_database(&config).await?;
                reset_password(&db, &SystemClock, &Passwords::default(), email, password).await?;
                say(format, "The password is set, and every session of this account has ended.", &[]);
                Ok(())
            }
            Command::Keys(command) => keys::run(&config, command).await,
            Command::Check => Ok(()),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

impl ResetPasswordArguments {
    fn check(&self) -> Result<(Email, NewPassword), CliError> {
        let refused = |error| CliError::Argument(format!("--email: {error}"));
        let email = Email::parse(&self.email).map_err(|error| refused(error.to_string()))?;
        let password = read_password(self.password_stdin)?;
        let password = NewPassword::parse(password.to_string(), &[email.as_str()])
            .map_err(|error| CliError::Argument(format!("password: {error}")))?;
        Ok((email, password))
    }
}

impl CreateAdminArguments {
    fn check(&self) -> Result<(Workplace, NewAdmin), CliError> {
        let argument = |flag: &str, error: String| CliError::Argument(format!("--{flag}: {error}"));
        let email = Email::parse(&self.email).map_err(|error| argument("email", error.to_string()))?;
        let name = match &self.name {
            Some(name) => name.as_str(),
            None => email.as_str().split('@').next().unwrap_or_default(),
        };
        let name = Name::parse(name).map_err(|error| argument("name", error.to_string()))?;
        let workplace = match (&self.organization, &self.organization_id) {
            (Some(organization), _) => {
                Workplace::New(Name::parse(organization).map_err(|error| argument("organization", error.to_string()))?)
            }
            (None, id) => Workplace::Existing(
                OrgId::parse(id.as_deref().unwrap_or_default())
                    .ok_or_else(|| argument("organization-id", "not an organization id such as org_…".to_owned()))?,
            ),
        };
        let context = [email.as_str(), name.as_str(), self.organization.as_deref().unwrap_or_default()];
        let password = read_password(self.password_stdin)?;
        let password = NewPassword::parse(password.to_string(), &context)
            .map_err(|error| CliError::Argument(format!("password: {error}")))?;
        Ok((workplace, NewAdmin { name, email, password }))
    }
}

fn read_password(from_stdin: bool) -> Result<Zeroizing<String>, CliError> {
    if !from_stdin && std::io::stdin().is_terminal() {
        let hint = format!("{} to {} characters", password::MIN_CHARS, password::MAX_CHARS);
        let first =
            Zeroizing::new(rpassword::prompt_password(format!("Password ({hint}): ")).map_err(CliError::Password)?);
        let second = Zeroizing::new(rpassword::prompt_password("Once more: ").map_err(CliError::Password)?);
        if first != second {
            return Err(CliError::Argument("password: the two are not the same".to_owned()));
        }
        return Ok(first);
    }
    if !from_stdin {
        return Err(CliError::Argument("password: no terminal to ask on; use --password-stdin".to_owned()));
    }
    let mut line = Zeroizing::new(Vec::new());
    std::io::stdin().lock().read_until(b'\n', &mut line).map_err(CliError::Password)?;
    let line =
        config::text(&line).map_err(|reason| CliError::Argument(format!("password: standard input {reason}")))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}
