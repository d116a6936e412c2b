//! A grammar of hostile requests: what a client may write so that an API behind a gateway takes it for somebody else, or is
//! reached unasked. The same seed makes the same requests for ever.

use super::IDENTITY;

/// What may stand in a header's name besides letters and digits (RFC 9110, 5.6.2).
const SEPARATORS: &str = "-_.!#$%&'*+^`|~";

/// SplitMix64: small, and the same on every machine and in every year.
pub struct Dice(u64);

/// One request, or what pretends to be one.
pub struct Hostile {
    pub bytes: Vec<u8>,
    /// Whether an answer to it has no body.
    pub is_head: bool,
    /// Whether a gateway must let it through, cleaned.
    pub must_pass: bool,
    /// Whether where it ends is a matter of opinion: it gets a connection of its own.
    pub is_ambiguous: bool,
}

/// Which keys a client has.
pub struct Keys {
    pub good: String,
    pub revoked: String,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn separator(&mut self) -> char {
        SEPARATORS.chars().nth(self.below(SEPARATORS.len())).unwrap()
    }

    /// In any mixture of cases.
    fn mixed(&mut self, text: &str) -> String {
        match self.below(4) {
            0 => text.to_owned(),
            1 => text.to_ascii_uppercase(),
            _ => text.chars().map(|c| if self.one_in(2) { c.to_ascii_uppercase() } else { c }).collect(),
        }
    }

    /// A name that some program takes for one of an identity's.
    pub fn alias(&mut self) -> String {
        let name = self.pick(&IDENTITY);
        let spelled: String = match self.below(3) {
            0 => name.to_owned(),
            1 => {
                let separator = self.separator();
                name.chars().map(|c| if c == '-' { separator } else { c }).collect()
            }
            _ => name.chars().map(|c| if c == '-' { self.separator() } else { c }).collect(),
        };
        self.mixed(&spelled)
    }
}

/// A header line, without its end.
type Line = Vec<u8>;

fn line(name: &str, value: &str) -> Line {
    format!("{name}: {value}").into_bytes()
}

const FORGED: [&str; 5] = ["key_FORGED", "org_FORGED", "admin", "", "-"];

/// Any request of the grammar.
pub fn hostile(dice: &mut Dice, host: &str, keys: &Keys) -> Hostile {
    match dice.below(10) {
        0..=4 => cleanable(dice, host, keys),
        5 | 6 => offer(dice, host, keys),
        7 | 8 => odd(dice, host, keys),
        _ => ambiguous(dice, host, keys),
    }
}

/// Only well-formed headers that a gateway must take away, and a good key most of the time.
fn cleanable(dice: &mut Dice, host: &str, keys: &Keys) -> Hostile {
    let mut lines = Vec::new();
    for _ in 0..=dice.below(6) {
        let alias = dice.alias();
        for _ in 0..=dice.below(2) {
            lines.push(line(&alias, dice.pick(&FORGED)));
        }
    }
    if dice.one_in(2) {
        for _ in 0..=dice.below(2) {
            let named: Vec<String> = (0..=dice.below(4)).map(|_| nominated(dice)).collect();
            let separator = dice.pick(&[", ", ",", " , ", ",,"]);
            lines.push(line(&dice.mixed("Connection"), &named.join(separator)));
        }
    }
    if dice.one_in(3) {
        lines.push(line(&dice.mixed("Keystead-Asker"), dice.pick(&["", "gateway", "false"])));
    }
    for hop in 0..dice.below(4) {
        lines.push(line("X-Forwarded-For", &format!("6.6.6.{hop}")));
    }
    for _ in 0..dice.below(3) {
        lines.push(line(dice.pick(&OTHER_NAMES), dice.pick(&["false", "/livez", "127.0.0.1", "DELETE"])));
    }
    let is_good = !dice.one_in(4);
    lines.push(if is_good { good_key(dice, keys) } else { bad_key(dice, keys) });
    shuffle(dice, &mut lines);
    let method = dice.pick(&["GET", "GET", "POST", "PUT", "DELETE", "HEAD"]);
    let path = dice.pick(&["/orders", "/orders/7?a=b", "/", "/a.b/c_d?x_key_id=1"]);
    Hostile { must_pass: is_good, ..request(method, path, host, lines) }
}

const OTHER_NAMES: [&str; 10] = [
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "X-Forwarded-Host",
    "X-HTTP-Method-Override",
    "X-Accel-Redirect",
    "X-Auth-Code",
    "X-Sendfile",
    "X-Real-IP",
    "Proxy-Connection",
];

/// What a client names in `Connection` so that somebody takes it away.
fn nominated(dice: &mut Dice) -> String {
    match dice.below(6) {
        0 => dice.pick(&["keystead-asker", "user-agent", "content-type"]).to_owned(),
        1 => "keep-alive".to_owned(),
        _ => {
            let name = dice.pick(&IDENTITY);
            dice.mixed(name)
        }
    }
}

/// An offer to speak something else from here on.
fn offer(dice: &mut Dice, host: &str, keys: &Keys) -> Hostile {
    let is_good = !dice.one_in(4);
    let key = if is_good { good_key(dice, keys) } else { bad_key(dice, keys) };
    if dice.one_in(3) {
        // What Java's client offers of its own accord: it must not be turned away for it.
        let lines = vec![
            key,
            line("Connection", "Upgrade, HTTP2-Settings"),
            line("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
            line("Upgrade", "h2c"),
        ];
        return Hostile { must_pass: is_good, ..request("GET", "/orders", host, lines) };
    }
    let mut lines = vec![key];
    let (offers, most) = if dice.one_in(2) { (1, 1) } else { (1 + dice.below(2), 3) };
    for _ in 0..offers {
        let protocols: Vec<String> = (0..=dice.below(most)).map(|_| protocol(dice)).collect();
        lines.push(line(&dice.mixed("Upgrade"), &protocols.join(dice.pick(&[", ", ","]))));
    }
    let connection = dice.pick(&[
        "Upgrade",
        "upgrade, HTTP2-Settings",
        "keep-alive, Upgrade, X-Key-Id",
        "Upgrade, X-Organization-Id, HTTP2-Settings",
        "HTTP2-Settings",
    ]);
    lines.push(line("Connection", connection));
    if dice.one_in(2) {
        lines.push(line(&dice.mixed("HTTP2-Settings"), "AAMAAABkAAQAoAAAAAIAAAAA"));
    }
    if dice.one_in(2) {
        lines.push(line("Sec-WebSocket-Version", dice.pick(&["13", "7", "777"])));
        lines.push(line("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="));
    }
    if dice.one_in(2) {
        lines.push(line(&dice.alias(), "key_FORGED"));
    }
    shuffle(dice, &mut lines);
    // Whoever goes on speaking HTTP/1.1 after a 101 must not take what follows for another request.
    Hostile { is_ambiguous: true, ..request(dice.pick(&["GET", "GET", "POST"]), "/live", host, lines) }
}

fn protocol(dice: &mut Dice) -> String {
    let protocol = dice.pick(&[
        "h2c",
        "h2c",
        "websocket",
        "websocket",
        "h2",
        "HTTP/2.0",
        "TLS/1.0",
        "websocket/13",
        "h2c;q=1",
        "",
    ]);
    dice.mixed(protocol)
}

/// Paths, methods and keys that may mean different things to different programs.
fn odd(dice: &mut Dice, host: &str, keys: &Keys) -> Hostile {
    let mut lines = Vec::new();
    for _ in 0..dice.below(3) {
        lines.push(line(&dice.alias(), dice.pick(&FORGED)));
    }
    if dice.one_in(2) {
        lines.push(line(
            "Connection",
            dice.pick(&["Authorization", "X-API-Key", "close, Authorization", "Host", "X-Forwarded-For"]),
        ));
    }
    for _ in 0..dice.below(3) {
        lines.push(if dice.one_in(2) { good_key(dice, keys) } else { bad_key(dice, keys) });
    }
    if dice.one_in(8) {
        lines.push(line("Expect", "100-continue"));
    }
    if dice.one_in(8) {
        lines.push(line("Host", "keystead"));
    }
    shuffle(dice, &mut lines);
    let method = dice.pick(&["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PRI", "get", "POST"]);
    let path = dice.pick(&[
        "/../../livez",
        "/orders/../../../livez",
        "/%2e%2e/%2e%2e/livez",
        "/..%2f..%2flivez",
        "/.keystead",
        "/%2ekeystead",
        "//.keystead",
        "/./.keystead",
        "/v1/forward-auth",
        "/v1/forward-auth/nginx",
        "http://keystead/livez",
        "http://127.0.0.1/.keystead",
        "//keystead/livez",
        "/@keystead_denied",
        "/a#/../livez",
        "/%00",
        "/a\\..\\livez",
        "/a;/../livez",
        "*",
        "livez",
        "?",
        "127.0.0.1:80",
    ]);
    let version = dice.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9"]);
    let mut request = request(method, path, host, lines);
    let text = String::from_utf8(request.bytes).unwrap();
    request.bytes = text.replacen("HTTP/1.1", version, 1).into_bytes();
    Hostile { is_ambiguous: true, ..request }
}

/// Requests of which two programs may not agree where they end, with another one hidden in them.
fn ambiguous(dice: &mut Dice, host: &str, keys: &Keys) -> Hostile {
    let hidden = format!(
        "GET /hidden HTTP/1.1\r\nHost: {host}\r\nX-Key-Id: key_FORGED\r\nX-Organization-Id: org_FORGED\r\n\
         X-Key-Name: n\r\nX-Key-Scopes: admin\r\nConnection: close\r\n\r\n"
    );
    let mut lines = vec![if dice.one_in(4) { bad_key(dice, keys) } else { good_key(dice, keys) }];
    let mut body = format!("0\r\n\r\n{hidden}");
    match dice.below(6) {
        0 => {
            lines.push(line("Content-Length", &body.len().to_string()));
            lines.push(transfer_encoding(dice));
        }
        1 => {
            lines.push(line(
                "Content-Length",
                dice.pick(&["0", "+5", "5, 5", "0x5", "-1", "5 5", "00005", "999999999999999999999"]),
            ));
            lines.push(line("Content-Length", &body.len().to_string()));
        }
        2 => {
            lines.push(transfer_encoding(dice));
            lines.push(transfer_encoding(dice));
        }
        3 => {
            // What comes as trailers are no headers.
            lines.push(line("Transfer-Encoding", "chunked"));
            lines.push(line("Trailer", "X-Key-Id"));
            body = format!("2;x=\"\r\nok\r\n0\r\n{}: key_FORGED\r\n{}: org_FORGED\r\n\r\n", dice.alias(), dice.alias());
        }
        4 => {
            let name = dice.alias();
            let value = dice.pick(&FORGED);
            lines.push(
                match dice.below(8) {
                    0 => format!("{name} : {value}"),
                    1 => format!("{name}\t: {value}"),
                    2 => format!(" {name}: {value}"),
                    3 => format!("X-A: b\r\n {name}: {value}"),
                    4 => format!("X-A: b\n{name}: {value}"),
                    5 => format!("X-A: b\r{name}: {value}"),
                    6 => format!("{name}\0: {value}"),
                    _ => format!("{name}\u{e9}: {value}\r\n: {value}\r\n{name}"),
                }
                .into_bytes(),
            );
            lines.push(line("Content-Length", "0"));
            body.clear();
        }
        _ => {
            // The Kelvin sign and a long s are k and s in lower case to some.
            for name in ["X-\u{212a}ey-Id", "X-Key-\u{17f}copes", "X\u{2010}Key\u{2010}Id", "X-K\u{cb}y-Id"] {
                lines.push(line(name, "key_FORGED"));
            }
            lines.push(b"X-Organization-\xC9d: org_FORGED".to_vec());
            lines.push(line("Content-Length", "0"));
            body.clear();
        }
    }
    shuffle(dice, &mut lines);
    let mut request = request("GET", "/orders", host, lines);
    if dice.one_in(2) {
        request.bytes.splice(..3, *b"POST");
    }
    request.bytes.extend_from_slice(body.as_bytes());
    request.bytes.extend_from_slice(hidden.as_bytes());
    Hostile { is_ambiguous: true, ..request }
}

fn transfer_encoding(dice: &mut Dice) -> Line {
    dice.pick(&[
        "Transfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\0",
        "Transfer_Encoding: chunked",
        "Transfer.Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "tRANSFER-eNCODING: CHUNKED",
        "Transfer-Encoding: gzip, chunked",
    ])
    .as_bytes()
    .to_vec()
}

fn good_key(dice: &mut Dice, keys: &Keys) -> Line {
    if dice.one_in(2) { line("X-API-Key", &keys.good) } else { line("Authorization", &format!("Bearer {}", keys.good)) }
}

fn bad_key(dice: &mut Dice, keys: &Keys) -> Line {
    match dice.below(6) {
        0 => line("Authorization", &format!("Bearer {}", keys.revoked)),
        1 => line("X-API-Key", "nonsense"),
        2 => line("Cookie", &format!("key={}", keys.good)),
        3 => line("X_API_Key", &keys.revoked),
        4 => line("Authorization", "Basic dTpw"),
        _ => line("X-Nothing", "x"),
    }
}

fn shuffle(dice: &mut Dice, lines: &mut [Line]) {
    for last in (1..lines.len()).rev() {
        lines.swap(last, dice.below(last + 1));
    }
}

fn request(method: &str, path: &str, host: &str, lines: Vec<Line>) -> Hostile {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    for line in lines {
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(b"\r\n");
    }
    let body = if matches!(method, "POST" | "PUT") { "body" } else { "" };
    if !body.is_empty() {
        bytes.extend_from_slice(b"Content-Length: 4\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    Hostile { bytes, is_head: method == "HEAD", must_pass: false, is_ambiguous: false }
}
