//! `keystead serve`: what is said at the start, and what ends it.

use std::{
    net::SocketAddr,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::CliError;
use crate::{
    clock::SystemClock,
    config::{Config, LogFormat},
    server,
    telemetry::announce,
};

/// How long a second signal waits for what is under way.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
pub async fn serve(config: Config) -> Result<(), CliError> {
    let format = config.log_format;
    let running = server::start(config, Arc::new(SystemClock)).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let signals = stop_on_signals(&running, &is_over)?;
    let (url, address) = (running.site.public_url.as_str(), list(&running.addresses));
    let brand = running.site.config.brand.as_str();
    let line = format!("The keys of {brand} are served at {url} (listening on {address})");
    announce(format, &line, &[("url", url.into()), ("address", address.into())]);
    if running.site.public_url.is_secure() && running.site.config.trusted_proxies.is_empty() {
        // We speak plain http only, so somebody is in front.
        let line = "KEYSTEAD_TRUSTED_PROXIES is empty: whoever comes through your proxy has its address, in the audit log and \
            where wrong passwords are counted";
        announce(format, line, &[]);
    }
    for address in &running.metrics_addresses {
        let url = format!("http://{address}/metrics");
        announce(format, &format!("Metrics are at {url}"), &[("url", url.into())]);
    }
    print_first_account(&running, format);
    let ended = running.run().await;
    signals.abort();
    ended?;
    // What is left are threads that wait for a silent database: nobody waits for them for longer than was said.
    is_over.store(true, Ordering::SeqCst);
    Ok(())
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// How the first account is made. A log is kept, and read by many: of the link it only learns where it is.
fn print_first_account(running: &server::Running, format: LogFormat) {
    const BY_COMMAND: &str = "make one with `keystead admin create`";
    let Some(link) = &running.set_up_link else {
        running.site.remove_set_up_link();
        if running.needs_command {
            announce(format, &format!("No account is left; {BY_COMMAND}"), &[]);
        }
        return;
    };
    if format == LogFormat::Text {
        return announce(format, &format!("No account exists yet. Open this link once to set up: {link}"), &[]);
    }
    match running.site.write_set_up_link(link) {
        Ok(path) => {
            let path = path.display().to_string();
            let line = format!("No account exists yet. Open the link that is in {path} once to set up");
            announce(format, &line, &[("set_up_link_file", path.into())]);
        }
        Err(error) => {
            let line = format!(
                "No account exists yet, and the set-up link cannot be written to a file: {error}; {BY_COMMAND}"
            );
            announce(format, &line, &[]);
        }
    }
}

/// SIGTERM, SIGQUIT and Ctrl+C stop the server gracefully, a second one at once. Other signals that would end a process
/// by default (a closed terminal, `logrotate`, `systemctl reload`) end nothing: there is nothing to reload.
fn stop_on_signals(
    running: &server::Running,
    is_over: &Arc<AtomicBool>,
) -> Result<tokio::task::JoinHandle<()>, CliError> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    let listen = |kind: SignalKind| signal(kind).map_err(CliError::Runtime);
    let [mut terminate, mut quit, mut interrupt] =
        [listen(SignalKind::terminate())?, listen(SignalKind::quit())?, listen(SignalKind::interrupt())?];
    let kinds = [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::alarm()];
    for (kind, name) in kinds.into_iter().zip(["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM"]) {
        let mut ignored: Signal = listen(kind)?;
        tokio::spawn(async move {
            while ignored.recv().await.is_some() {
                tracing::info!("{name} changes nothing; restart the server for other settings");
            }
        });
    }
    let (handle, limit) = (running.handle(), running.site.config.drain + server::LONGEST_STOP);
    let is_over = Arc::clone(is_over);
    Ok(tokio::spawn(async move {
        let mut asked = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = quit.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        asked().await;
        tracing::info!("stopping: requests in flight, and those about to come, are answered first");
        end_after(limit, &is_over);
        handle.stop();
        asked().await;
        end_after(AT_ONCE, &is_over);
        handle.abort();
    }))
}

/// Ends the process when stopping takes too long: whoever started it would kill it, and say nothing. It is a success if
/// everything is over but for threads that nobody waits for.
fn end_after(limit: Duration, is_over: &Arc<AtomicBool>) {
    let is_over = Arc::clone(is_over);
    let watching = std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
        std::thread::sleep(limit);
        if is_over.load(Ordering::SeqCst) {
            exit(0);
        }
        tracing::error!("stopping takes too long; it ends here, and the last usage may not be written");
        exit(1);
    });
    if let Err(error) = watching {
        tracing::warn!(%error, "nothing bounds how long stopping takes");
    }
}
