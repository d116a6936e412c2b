//! The three engines, and how each is started: its driver, and what the driver is asked for.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Once,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::browser::{DOWNLOADS, Kit, PATIENCE};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Chromium behind chromedriver.
    #[default]
    Chromium,
    /// Firefox behind geckodriver.
    Firefox,
    /// WebKitGTK's MiniBrowser behind WebKitWebDriver, on a screen of its own that nobody sees. Safari's engine.
    WebKit,
}

impl Engine {
    /// The engines to test with: Chromium and Firefox always, WebKitGTK where it is installed.
    pub fn installed() -> impl Iterator<Item = Self> {
        [Self::Chromium, Self::Firefox, Self::WebKit].into_iter().filter(|engine| engine.is_installed())
    }

    /// Whether to test with it. That WebKitGTK is not installed is said once, also when no test fails; the others must be.
    pub fn is_installed(self) -> bool {
        static SAY: Once = Once::new();
        let is_installed = self != Self::WebKit || (WEBKIT_DRIVER.find().is_some() && XVFB.find().is_some());
        if !is_installed {
            // Not `eprintln!`: the test runner keeps to itself what passing tests print.
            SAY.call_once(|| {
                let _ = writeln!(std::io::stderr(), "not run: WebKitGTK is not installed (webkit2gtk-driver, xvfb)");
            });
        }
        is_installed
    }

    /// Starts the driver and says what it is to be asked for. The browser keeps its files in the folder, and downloads
    /// into [`DOWNLOADS`] there.
    pub fn start(kit: Kit, folder: &Path) -> (Driver, Value) {
        match kit.engine {
            Self::Chromium => (Driver::start(&CHROMEDRIVER, "started successfully on port "), chromium(kit, folder)),
            Self::Firefox => (Driver::start(&GECKODRIVER, "Listening on 127.0.0.1:"), firefox(kit, folder)),
            Self::WebKit => (Driver::start_on_a_screen(folder), webkit(kit)),
        }
    }
}

fn chromium(kit: Kit, folder: &Path) -> Value {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // The one name that is not a loopback name and yet leads here.
        "--host-resolver-rules=MAP keystead.test 127.0.0.1",
        &profile,
    ];
    let mut preferences = json!({ "credentials_enable_service": false, "profile.password_manager_enabled": false });
    if kit.no_scripts {
        preferences["profile.managed_default_content_settings.javascript"] = json!(2);
    }
    json!({
        "goog:chromeOptions": { "binary": CHROMIUM.path(), "args": arguments, "prefs": preferences },
        "goog:loggingPrefs": { "browser": "ALL" },
        // The question before leaving a page is tested as the event; a driver that asks would hang on it.
        "unhandledPromptBehavior": "accept",
    })
}

fn firefox(kit: Kit, folder: &Path) -> Value {
    let preferences = json!({
        "javascript.enabled": !kit.no_scripts,
        "network.dns.localDomains": "keystead.test",
        "browser.download.folderList": 2,
        "browser.download.dir": folder.join(DOWNLOADS),
        "browser.download.alwaysOpenPanel": false,
        "signon.rememberSignons": false,
        "layout.css.prefers-color-scheme.content-override": 1,
        "ui.prefersReducedMotion": 1,
    });
    json!({
        "moz:firefoxOptions": { "binary": FIREFOX.path(), "args": ["-headless"], "prefs": preferences },
        "unhandledPromptBehavior": "accept",
    })
}

/// Settings of MiniBrowser are settings of WebKit's web view, by the same names.
fn webkit(kit: Kit) -> Value {
    let scripts = if kit.no_scripts { "--enable-javascript=FALSE" } else { "--enable-javascript=TRUE" };
    json!({ "webkitgtk:browserOptions": { "args": ["--automation", scripts] }, "unhandledPromptBehavior": "accept" })
}

/// A program by the variable that names it and by its usual names.
struct Program(&'static str, &'static [&'static str]);

const CHROMIUM: Program = Program("CHROMIUM", &["chromium", "chromium-browser", "google-chrome"]);
const CHROMEDRIVER: Program = Program("CHROMEDRIVER", &["chromedriver"]);
const FIREFOX: Program = Program("FIREFOX", &["firefox-esr", "firefox"]);
const GECKODRIVER: Program = Program("GECKODRIVER", &["geckodriver"]);
const WEBKIT_DRIVER: Program = Program("WEBKITWEBDRIVER", &["WebKitWebDriver"]);
const XVFB: Program = Program("XVFB", &["Xvfb"]);

impl Program {
    /// The path in the variable, or the first of the names on `PATH`.
    #[allow(clippy::disallowed_methods)] // where a tester's programs are is no setting of the server
    fn find(&self) -> Option<PathBuf> {
        let Self(variable, names) = self;
        if let Some(path) = std::env::var_os(variable) {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "{variable} is {}, which is not a file", path.display());
            return Some(path);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).collect::<Vec<_>>();
        names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
    }

    /// The same; without one the test fails: a browser test that is skipped is a browser test that nobody misses.
    fn path(&self) -> PathBuf {
        let Self(variable, names) = self;
        self.find().unwrap_or_else(|| {
            panic!("The browser tests need {}: see tests/run; or set {variable} to its path.", names.join(" or "))
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

/// A program that ends when this is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        Self(command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", program.display())))
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stdout.take().expect("stdout is a pipe")).lines().map_while(Result::ok)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A driver that listens. It ends when this is dropped.
pub struct Driver {
    _program: Running,
    pub port: u16,
    /// Ends last, and with it a browser that is still there.
    _screen: Option<Running>,
}

impl Driver {
    /// Starts a driver on a port it chooses and says after these words.
    ///
    /// chromedriver takes a port that is free for IPv4 and wants the same for IPv6; when somebody else has that one it gives
    /// up. So a driver that ends before it listens is started anew.
    fn start(program: &Program, listening: &str) -> Self {
        const TRIES: usize = 5;
        for _ in 0..TRIES {
            let mut driver = Running::start(program.command().arg("--port=0"));
            let mut lines = driver.lines();
            let port = lines.by_ref().find_map(|line| {
                let port = line.split(listening).nth(1)?;
                port.trim_end_matches('.').parse().ok()
            });
            if let Some(port) = port {
                // Nobody may leave it alone with a full pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Self { _program: driver, port, _screen: None };
            }
        }
        panic!("{} ended {TRIES} times before it listened", program.1.join(" or "));
    }

    /// Starts WebKitWebDriver on a screen of its own: focus and clipboard belong to a screen.
    fn start_on_a_screen(home: &Path) -> Self {
        let screen = ["-displayfd", "1", "-screen", "0", "1600x1200x24", "-nolisten", "tcp"];
        let mut screen = Running::start(XVFB.command().args(screen));
        let display = screen.lines().next().expect("Xvfb says the number of its screen");
        let config = home.join(".config");
        let write = |name: &str, text: &str| std::fs::write(config.join(name), text).expect("a setting is written");
        std::fs::create_dir_all(config.join("gtk-3.0")).expect("a folder for settings");
        write("user-dirs.dirs", &format!("XDG_DOWNLOAD_DIR=\"{}\"\n", home.join(DOWNLOADS).display()));
        // A click lands where it was aimed.
        write("gtk-3.0/settings.ini", "[Settings]\ngtk-enable-animations=0\n");
        let mut command = WEBKIT_DRIVER.command();
        // Nothing of the tester's own desktop, and no question to a session bus.
        command.env_clear().env("DISPLAY", format!(":{display}")).env("HOME", home);
        command.env("NO_AT_BRIDGE", "1").env("GSETTINGS_BACKEND", "memory");
        let mut driver = Running::start(command.arg("--port=0").stdout(Stdio::null()));
        let port = listening_port(&mut driver.0);
        Self { _program: driver, port, _screen: Some(screen) }
    }
}

/// The port of the one socket on which a process listens. WebKitWebDriver never says it, and a port chosen for it could be
/// taken by somebody else in between.
fn listening_port(child: &mut Child) -> u16 {
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Ok(Some(status)) = child.try_wait() {
            panic!("WebKitWebDriver ended before it listened: {status}");
        }
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let open = open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).collect::<Vec<_>>();
        let sockets = std::fs::read_to_string(process.join("net/tcp")).unwrap_or_default();
        let port = sockets.lines().find_map(|line| {
            // Number, own address, other address, state (0A listens), …, inode the tenth.
            let fields = line.split_whitespace().collect::<Vec<_>>();
            let [_, own, _, "0A", _, _, _, _, _, inode, ..] = fields[..] else { return None };
            let is_its = open.contains(&PathBuf::from(format!("socket:[{inode}]")));
            is_its.then(|| u16::from_str_radix(own.split(':').nth(1)?, 16).ok()).flatten()
        });
        if let Some(port) = port {
            return port;
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    panic!("WebKitWebDriver never listened");
}
