//! A real browser of one of the [engines](Engine), spoken to in the words of the WebDriver standard
//! (<https://www.w3.org/TR/webdriver2/>) and, where that has none and for Chromium alone, of the DevTools protocol.
//!
//! Things are found as people find them: by the name on a button, the label of a field, the sentence on the screen.
//! Every look waits until it sees, up to [`PATIENCE`]; nothing sleeps for a fixed time.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    engine::{Driver, Engine},
    http,
};

/// How long a look waits. Never used up when all is well.
pub const PATIENCE: Duration = Duration::from_secs(12);

/// As many browsers as a small machine can take at once.
const AT_ONCE: usize = 2;

/// Where downloads go, in the browser's own folder.
pub const DOWNLOADS: &str = "downloads";

/// The member that marks an element in the wire format (WebDriver, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What differs from the usual browser.
#[derive(Clone, Copy, Default)]
pub struct Kit {
    /// JavaScript is turned off in the browser's settings.
    pub no_scripts: bool,
    pub engine: Engine,
}

/// A browser with one window. It ends when this is dropped, also when a test panics.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    engine: Engine,
    pid: u64,
    _driver: Driver,
    folder: TempDir,
    _seat: Seat,
}

impl Browser {
    pub fn open(kit: Kit) -> Self {
        let seat = Seat::take();
        let folder = TempDir::new().expect("a folder for the browser");
        std::fs::create_dir_all(folder.path().join(DOWNLOADS)).expect("a folder for downloads");
        let (driver, capabilities) = Engine::start(kit, folder.path());
        let base = format!("http://127.0.0.1:{}/session", driver.port);
        let (http, session, engine) = (http::client(false), String::new(), kit.engine);
        let mut browser = Self { http, session, engine, pid: 0, folder, _driver: driver, _seat: seat };
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let answer = http::call(&browser.http, Method::POST, &base, Some(&wanted)).expect("the driver answers");
        let answer = answer.json();
        let value = &answer["value"];
        let id = value["sessionId"].as_str().unwrap_or_else(|| panic!("the browser did not start: {value}"));
        browser.session = format!("{base}/{id}");
        let pids =
            ["goog:processID", "moz:processID"].into_iter().filter_map(|pid| value["capabilities"][pid].as_u64());
        browser.pid = pids.max().unwrap_or_default();
        if engine == Engine::Chromium {
            browser.devtools(
                "Browser.setDownloadBehavior",
                json!({ "behavior": "allow", "downloadPath": browser.downloads() }),
            );
            browser.theme("light");
        }
        browser.resize(1360, 900);
        browser
    }

    // ---- The wire ----

    fn try_command(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let answer = http::call(&self.http, method, &format!("{}{path}", self.session), body);
        let answer = answer.map_err(|error| format!("the driver: {error}"))?.json();
        match answer["value"].get("error") {
            Some(error) => Err(format!("{}: {}", error.as_str().unwrap_or_default(), first_line(&answer))),
            None => Ok(answer["value"].clone()),
        }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.try_command(Method::POST, path, Some(body)).unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    fn get(&self, path: &str) -> Value {
        self.try_command(Method::GET, path, None).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of the DevTools protocol, which only Chromium speaks.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        assert_eq!(self.engine, Engine::Chromium, "{command}");
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Runs a script as the body of a function, outside the page's own rules; works with scripts turned off, too.
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// The value of an expression.
    pub fn ask(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression});"), json!([]))
    }

    /// The value an asynchronous function's body returns.
    pub fn run_async(&self, script: &str, arguments: Value) -> Value {
        // Drivers wait for a promise that a script returns.
        self.run(&format!("return (async (...a) => {{ {script} }})(...arguments)"), arguments)
    }

    /// Runs before any script of every page that is opened from now on.
    pub fn before_every_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    // ---- Waiting ----

    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        let start = Instant::now();
        loop {
            let why = match look() {
                Ok(seen) => return seen,
                Err(why) => why,
            };
            if start.elapsed() > PATIENCE {
                let at = self.try_command(Method::GET, "/url", None).unwrap_or_default();
                let screen = self.run("return document.body?.innerText", json!([]));
                panic!(
                    "waited in vain: {what} ({why})\nat {at}, where the page reads:\n{}",
                    screen.as_str().unwrap_or("")
                );
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// Waits until an expression is true.
    pub fn until(&self, what: &str, expression: &str) {
        let script = json!({ "script": format!("return ({expression});"), "args": [] });
        self.wait(what, || match self.try_command(Method::POST, "/execute/sync", Some(&script))? {
            Value::Null | Value::Bool(false) => Err("it stays false".to_owned()),
            _ => Ok(()),
        });
    }

    /// Waits until a sentence can be read in the topmost dialog, or on the page if none is open.
    pub fn see(&self, sentence: &str) {
        self.until(&format!("to read {sentence:?}"), &format!("{TOP}.text().includes({})", json!(sentence)));
    }

    /// Waits until a sentence can be read nowhere.
    pub fn see_no_more(&self, sentence: &str) {
        let words = json!(sentence);
        self.until(&format!("no longer to read {sentence:?}"), &format!("!{TOP}.all().includes({words})"));
    }

    /// Waits until something that a selector describes is on the page and drawn.
    pub fn see_element(&self, selector: &str) {
        let expression = format!("{TOP}.drawn(document.querySelector({}))", json!(selector));
        self.until(&format!("to see {selector}"), &expression);
    }

    /// Waits until the topmost dialog (or, without scripts, the card) has this heading.
    pub fn see_dialog(&self, heading: &str) {
        let expression = format!("{TOP}.heading() === {}", json!(heading));
        self.until(&format!("the dialog {heading:?}"), &expression);
    }

    pub fn see_no_dialog(&self) {
        self.until("no dialog to be open", "!document.querySelector('dialog[open]')");
    }

    /// Waits for a live region or an alert to say this.
    pub fn hear(&self, sentence: &str) {
        let regions = "[...document.querySelectorAll('[role=status], [role=alert], [aria-live]')]";
        let expression = format!("{regions}.some((region) => region.textContent.includes({}))", json!(sentence));
        self.until(&format!("to hear {sentence:?}"), &expression);
    }

    /// Waits until the focus is on a control with this name or label.
    pub fn see_focus_on(&self, name: &str) {
        let expression = format!("{TOP}.name(document.activeElement) === {}", json!(name));
        self.until(&format!("the focus on {name:?}"), &expression);
    }

    // ---- Finding ----

    fn element(&self, what: &str, expression: &str) -> Value {
        let script = json!({ "script": format!("return ({expression});"), "args": [] });
        self.wait(what, || match self.try_command(Method::POST, "/execute/sync", Some(&script))? {
            Value::Null => Err("it is not there".to_owned()),
            element => Ok(element),
        })
    }

    /// A link, button or box with this accessible name, in the topmost dialog if one is open.
    fn control(&self, name: &str) -> Value {
        self.element(&format!("a control {name:?}"), &format!("{TOP}.control({})", json!(name)))
    }

    /// A field with this label.
    fn field(&self, label: &str) -> Value {
        self.element(&format!("a field {label:?}"), &format!("{TOP}.field({})", json!(label)))
    }

    /// Whether there is a control with this name, at this moment.
    pub fn has(&self, name: &str) -> bool {
        !self.ask(&format!("{TOP}.control({})", json!(name))).is_null()
    }

    // ---- Doing ----

    pub fn visit(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub fn back(&self) {
        self.post("/back", &json!({}));
    }

    pub fn forward(&self) {
        self.post("/forward", &json!({}));
    }

    pub fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    pub fn url(&self) -> String {
        self.get("/url").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the address has this path.
    pub fn arrive_at(&self, path: &str) {
        self.wait(&format!("to arrive at {path}"), || {
            let url = self.url();
            let here = url.split_once("//").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
            // A form without fields leaves a question mark behind.
            let here = here.as_deref().map(|here| here.strip_suffix('?').unwrap_or(here));
            if here == Some(path) { Ok(()) } else { Err(url) }
        });
        self.until("the page to be ready", "document.readyState === 'complete'");
    }

    /// Presses the control with this name by mouse.
    pub fn click(&self, name: &str) {
        self.wait(&format!("to click {name:?}"), || {
            let element = self.control(name);
            self.try_command(Method::POST, &format!("/element/{}/click", id(&element)), Some(&json!({})))
        });
    }

    /// Presses a control twice, as fast as a mouse can.
    pub fn double_click(&self, name: &str) {
        let element = self.control(name);
        let (down, up) = (json!({ "type": "pointerDown", "button": 0 }), json!({ "type": "pointerUp", "button": 0 }));
        self.pointer(json!([{ "type": "pointerMove", "origin": element, "x": 0, "y": 0 }, down, up, down, up]));
    }

    /// Presses a point of the window.
    pub fn click_at(&self, x: i64, y: i64) {
        let (down, up) = (json!({ "type": "pointerDown", "button": 0 }), json!({ "type": "pointerUp", "button": 0 }));
        self.pointer(json!([{ "type": "pointerMove", "x": x, "y": y }, down, up]));
    }

    fn pointer(&self, actions: Value) {
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.post("/actions", &json!({ "actions": [mouse] }));
    }

    /// Empties a field and types into it.
    pub fn fill(&self, label: &str, text: &str) {
        let id = id(&self.field(label));
        self.post(&format!("/element/{id}/clear"), &json!({}));
        self.post(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// What stands in a field.
    pub fn value(&self, label: &str) -> String {
        let id = id(&self.field(label));
        self.get(&format!("/element/{id}/property/value")).as_str().unwrap_or_default().to_owned()
    }

    /// Presses a key, perhaps with others held down: `Tab`, `Shift+Tab`, `Escape`, `Control+v`, `c`.
    pub fn press(&self, chord: &str) {
        let keys = if chord == "+" { vec!["+"] } else { chord.split('+').collect() };
        let keys = keys.into_iter().map(key).collect::<Vec<_>>();
        let down = keys.iter().map(|key| json!({ "type": "keyDown", "value": key }));
        let up = keys.iter().rev().map(|key| json!({ "type": "keyUp", "value": key }));
        self.keyboard(down.chain(up).collect());
    }

    /// Types into whatever has the focus.
    pub fn type_text(&self, text: &str) {
        let strokes = text.chars().flat_map(|c| {
            let c = c.to_string();
            [json!({ "type": "keyDown", "value": c }), json!({ "type": "keyUp", "value": c })]
        });
        self.keyboard(strokes.collect());
    }

    fn keyboard(&self, actions: Vec<Value>) {
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Presses Tab until the focus is on a control with this name.
    pub fn tab_to(&self, name: &str) {
        let here = format!("{TOP}.name(document.activeElement) === {}", json!(name));
        for _ in 0..60 {
            if self.ask(&here) == json!(true) {
                return;
            }
            self.press("Tab");
        }
        panic!(
            "sixty times Tab and never on {name:?}; now on {}",
            self.ask(&format!("{TOP}.name(document.activeElement)"))
        );
    }

    // ---- Windows ----

    /// Opens another tab and goes there; returns the one before.
    pub fn new_tab(&self) -> String {
        let before = self.get("/window").as_str().unwrap_or_default().to_owned();
        let tab = self.post("/window/new", &json!({ "type": "tab" }));
        self.post("/window", &json!({ "handle": tab["handle"] }));
        if self.engine == Engine::Chromium {
            self.resize(1360, 900);
            self.theme("light");
        }
        before
    }

    pub fn switch_to_tab(&self, tab: &str) {
        self.post("/window", &json!({ "handle": tab }));
        if self.engine == Engine::Chromium {
            self.devtools("Page.bringToFront", json!({}));
        }
    }

    /// Closes the tab and goes to another.
    pub fn close_tab(&self, then: &str) {
        self.try_command(Method::DELETE, "/window", None).expect("the tab closes");
        self.switch_to_tab(then);
    }

    /// The size of the page in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        if self.engine != Engine::Chromium {
            self.post("/window/rect", &json!({ "width": width, "height": height }));
            // What the window itself takes.
            let taken = self.ask("[outerWidth - innerWidth, outerHeight - innerHeight]");
            let whole = |side: u32, index: usize| u64::from(side) + taken[index].as_u64().unwrap_or_default();
            self.post("/window/rect", &json!({ "width": whole(width, 0), "height": whole(height, 1) }));
            return;
        }
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        // Phones lay their scroll bars over the page.
        self.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": width <= 900 }));
    }

    /// `light` or `dark`, as the system would ask for it. Motion is off: a click lands where it was aimed.
    pub fn theme(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Brings whatever moves to its end, and whatever that sets in motion. (Waiting for it is no use: a window that was
    /// in the background may not be drawn again until somebody looks.)
    pub fn settle(&self) {
        let script = "const ends = ({ effect }) => effect.getComputedTiming().endTime !== Infinity;
            for (let round = 0; round < 100; round++) {
                const moving = document.getAnimations().filter(ends);
                if (!moving.length) return true;
                for (const motion of moving) motion.finish();
            }
            return false";
        assert_eq!(self.run(script, json!([])), true, "something never comes to rest");
    }

    // ---- What screen readers are told ----

    /// Role and name of the element with the focus, as the browser computes them for its accessibility tree.
    pub fn spoken_focus(&self) -> (String, String) {
        let element = id(&self.get("/element/active"));
        let ask = |what: &str| self.get(&format!("/element/{element}/{what}")).as_str().unwrap_or_default().to_owned();
        (ask("computedrole"), ask("computedlabel"))
    }

    // ---- What leaves the page ----

    /// The cookies of this page's site, with those that scripts cannot see.
    pub fn cookies(&self) -> Vec<Value> {
        self.get("/cookie").as_array().cloned().unwrap_or_default()
    }

    /// Puts a cookie back.
    pub fn set_cookie(&self, cookie: &Value) {
        self.post("/cookie", &json!({ "cookie": cookie }));
    }

    /// What pasting into some other program would give.
    pub fn clipboard(&self) -> String {
        let before = self.new_tab();
        self.visit("data:text/html,<textarea aria-label=Paste autofocus></textarea>");
        let id = id(&self.field("Paste"));
        self.post(&format!("/element/{id}/click"), &json!({}));
        self.press("Control+v");
        let text = self.get(&format!("/element/{id}/property/value")).as_str().unwrap_or_default().to_owned();
        self.close_tab(&before);
        text
    }

    fn downloads(&self) -> PathBuf {
        self.folder.path().join(DOWNLOADS)
    }

    /// The content of a file that was downloaded.
    pub fn downloaded(&self, name: &str) -> String {
        let path = self.downloads().join(name);
        self.wait(&format!("the download {name}"), || {
            let there = std::fs::read_dir(self.downloads()).map_err(|error| error.to_string())?;
            let there = there.flatten().map(|entry| entry.file_name().into_string()).collect::<Vec<_>>();
            // Chromium takes the name with an empty file before it moves the whole one there. None of ours is empty.
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.is_empty() { Err(format!("there are {there:?}")) } else { Ok(text) }
        })
    }

    /// Everything the console said at level error since the last time this was asked. Chromium alone tells.
    pub fn console_errors(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let errors = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        errors.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The page as it would be printed on A4, as a PDF file's bytes.
    pub fn print(&self) -> Vec<u8> {
        let page = json!({ "width": 21.0, "height": 29.7 });
        decode_base64(self.post("/print", &json!({ "page": page })).as_str().unwrap_or_default())
    }

    /// A picture of the window, as a PNG file's bytes.
    pub fn screenshot(&self) -> Vec<u8> {
        decode_base64(self.get("/screenshot").as_str().unwrap_or_default())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(picture) = self.try_command(Method::GET, "/screenshot", None)
        {
            let name = std::thread::current().name().unwrap_or("browser").replace("::", "-");
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failed-{name}.png"));
            let _ = std::fs::write(&path, decode_base64(picture.as_str().unwrap_or_default()));
            eprintln!("what the browser showed: {}", path.display());
        }
        let _ = self.try_command(Method::DELETE, "", None);
        if self.pid != 0 && Path::new(&format!("/proc/{}", self.pid)).exists() {
            let _ = Command::new("kill").args(["-KILL", &self.pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// A turn on a machine with few processors.
struct Seat;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

impl Seat {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = FREED.wait_while(taken, |taken| *taken >= AT_ONCE).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}

/// How the helpers below are called within an expression.
const TOP: &str = concat!("(", include_str!("eyes.js"), ")");

fn id(element: &Value) -> String {
    element[ELEMENT].as_str().unwrap_or_else(|| panic!("no element: {element}")).to_owned()
}

fn first_line(answer: &Value) -> String {
    answer["value"]["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// A key by its name, as a code point of the standard (WebDriver, section 17.4.2).
fn key(name: &str) -> String {
    let code = match name {
        "Tab" => '\u{E004}',
        "Enter" => '\u{E007}',
        "Shift" => '\u{E008}',
        "Control" => '\u{E009}',
        "Escape" => '\u{E00C}',
        "Space" => ' ',
        other => return other.to_owned(),
    };
    code.to_string()
}

/// Base64 (RFC 4648, section 4), in which the driver wraps pictures.
fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.bytes().filter_map(|byte| ALPHABET.iter().position(|known| *known == byte)) {
        bits = (bits << 6) | u32::try_from(digit).unwrap_or_default();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    bytes
}
