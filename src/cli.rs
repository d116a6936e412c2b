//! The command line: what was asked, carried out by one call, and one clear line when it could not be.

use std::{
    io::{BufRead, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};
use zeroize::Zeroizing;

use crate::{
    actions::create_admin::{CreateAdminError, NewAdmin, Workplace, create_admin},
    app::{StartError, open_database},
    clock::SystemClock,
    config::{ConfigError, Settings},
    domain::{
        email::Email,
        ids::OrgId,
        name::Name,
        password::{self, NewPassword},
    },
    passwords::Passwords,
    server::{self, ServeError},
    telemetry::{self, TelemetryError},
};

/// The Integrations page of your product: API keys to create, rotate and revoke, and one HTTP call that tells whether a
/// key is good.
#[derive(Debug, Parser)]
#[command(name = "keystead", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
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
    /// Bring the database's schema up to date and exit
    Migrate,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Create an admin of a new organization, or of one that exists; prints the organization's id
    Create(CreateAdminArguments),
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

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    CreateAdmin(#[from] CreateAdminError),
    #[error("{0}")]
    Argument(String),
    #[error("cannot read the password: {0}")]
    Password(std::io::Error),
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version.
        Err(shown) if !shown.use_stderr() => shown.exit(),
        Err(error) => {
            let first = error.to_string();
            let first = first.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            fail(&format!("{first}; see keystead --help"));
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

/// One line, whatever a database put into its message.
fn fail(message: &str) -> ExitCode {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "keystead: {line}");
    ExitCode::FAILURE
}

fn run(arguments: Arguments) -> Result<(), CliError> {
    telemetry::start(&arguments.settings.log, &arguments.settings.log_format)?;
    let config = arguments.settings.check()?;
    let system = actix_web::rt::System::new();
    system.block_on(async {
        match arguments.command.unwrap_or(Command::Serve) {
            Command::Serve => serve(config).await,
            Command::Migrate => {
                open_database(&config).await?;
                say("The schema is up to date.");
                Ok(())
            }
            Command::Admin(AdminCommand::Create(input)) => {
                let (workplace, admin) = input.check()?;
                let db = open_database(&config).await?;
                let id = create_admin(&db, &SystemClock, &Passwords::default(), workplace, admin).await?;
                say(id.as_str());
                Ok(())
            }
        }
    })
}

/// One line on standard output, at once. Nobody need be listening: `println!` would panic when a pipe was closed.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

async fn serve(config: crate::config::Config) -> Result<(), CliError> {
    let running = server::start(config, Arc::new(SystemClock)).await?;
    let signals = stop_on_signals(&running)?;
    let brand = running.app.config.brand.clone();
    say(&format!(
        "The keys of {brand} are served at {} (listening on {})",
        running.app.public_url.as_str(),
        running.address
    ));
    if let Some(address) = running.metrics_address {
        say(&format!("Metrics are at http://{address}/metrics"));
    }
    if let Some(link) = &running.set_up_link {
        say(&format!("No account exists yet. Open this link once to set up: {link}"));
    }
    let ended = running.run().await;
    signals.abort();
    Ok(ended?)
}

/// SIGTERM and Ctrl+C stop the server gracefully; a second Ctrl+C at once.
fn stop_on_signals(running: &server::Running) -> Result<tokio::task::JoinHandle<()>, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let (app, handle) = (running.app.clone(), running.handle());
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests in flight are finished first");
        tokio::select! {
            () = server::stop(&app, &handle) => {}
            _ = interrupt.recv() => handle.stop(false).await,
        }
    }))
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
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).map_err(CliError::Password)?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(line)
}
