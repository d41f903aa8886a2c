//! The head of a request to a proxy, read strictly: what two programs could read in two ways is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Longest name of the domain name system.
const NAME_BYTES: usize = 253;
const HEADERS: usize = 100;
/// Headers that are for a proxy, or about a single connection (RFC 9110, section 7.6.1). The host is written anew.
const DROPPED: [&str; 8] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
];

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// In lower case, without a dot at its end.
    Name(String),
    /// Version 4 ones are never written as version 6.
    Address(IpAddr),
}

/// Where a connection shall go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// What is asked of the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Pass bytes in both directions.
    Tunnel(Target),
    /// Pass on a request and its answer: this head, then so many bytes.
    Forward { target: Target, head: Vec<u8>, body_bytes: u64 },
}

/// Why a request is refused: status and reason.
pub(super) type Refusal = (u16, &'static str);

const MALFORMED: Refusal = (400, "the head of the request is malformed");

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for Host {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']').and_then(|inner| inner.parse().ok()).ok_or(())?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(is_usual)
        };
        let is_name = name.len() <= NAME_BYTES && name.split('.').all(is_label);
        if is_name { Ok(Self::Name(name)) } else { Err(()) }
    }
}

impl Host {
    /// Reads `host` or `host:port`.
    pub(super) fn parse_with_port(text: &str) -> Option<(Self, Option<u16>)> {
        let (host, port) = match text.rsplit_once(':') {
            // The last colon may be one of an address.
            Some((host, port)) if !port.ends_with(']') => (host, Some(parse_port(port)?)),
            _ => (text, None),
        };
        Some((host.parse().ok()?, port))
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

impl Request {
    /// Reads a head, with the empty line at its end.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Refusal> {
        // Text in other encodings has no place in a head; neither have control characters.
        let text = std::str::from_utf8(head).map_err(|_| MALFORMED)?;
        let text = text.strip_suffix("\r\n\r\n").ok_or(MALFORMED)?;
        let mut lines = text.split("\r\n");
        let is_clean = |line: &str| line.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte));
        if !lines.clone().all(is_clean) {
            return Err(MALFORMED);
        }
        let line = lines.next().ok_or(MALFORMED)?;
        let headers = Headers::parse(lines)?;
        let words: Vec<&str> = line.split(' ').collect();
        let [method, uri, "HTTP/1.1" | "HTTP/1.0"] = words[..] else { return Err(MALFORMED) };
        if !is_token(method) {
            return Err(MALFORMED);
        }
        if method == "CONNECT" { tunnel(uri) } else { forward(method, uri, &headers) }
    }
}

fn tunnel(authority: &str) -> Result<Request, Refusal> {
    match Host::parse_with_port(authority) {
        Some((host, Some(port))) => Ok(Request::Tunnel(Target { host, port })),
        _ => Err((400, "`CONNECT` needs `host:port`")),
    }
}

fn forward(method: &str, uri: &str, headers: &Headers<'_>) -> Result<Request, Refusal> {
    let scheme = uri.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.and(uri.get(7..)).ok_or((400, "this is a proxy: ask for `http://host/path`"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err((400, "a user in an address is not passed on: send a header instead"));
    }
    let (host, port) = Host::parse_with_port(authority).ok_or(MALFORMED)?;
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let body_bytes = headers.body_bytes()?;
    // One request for each connection, so that what follows it is never taken for another.
    let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in &headers.0 {
        if !DROPPED.contains(&name.to_ascii_lowercase().as_str()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    let target = Target { host, port: port.unwrap_or(80) };
    Ok(Request::Forward { target, head: head.into_bytes(), body_bytes })
}

struct Headers<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Headers<'a> {
    fn parse(lines: impl Iterator<Item = &'a str>) -> Result<Self, Refusal> {
        let mut headers = Vec::new();
        for line in lines {
            // A line that goes on from the one before begins with a space, which is no token.
            let (name, value) = line.split_once(':').filter(|(name, _)| is_token(name)).ok_or(MALFORMED)?;
            headers.push((name, value.trim_matches([' ', '\t'])));
            if headers.len() > HEADERS {
                return Err((431, "the request has too many headers"));
            }
        }
        Ok(Self(headers))
    }

    fn values(&self, wanted: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
    }

    /// Only a length that stands there once, in digits, is one that everybody reads alike.
    fn body_bytes(&self) -> Result<u64, Refusal> {
        if self.values("transfer-encoding").next().is_some() {
            return Err((411, "a body is passed on only with its length: `Content-Length`"));
        }
        let lengths: Vec<&str> = self.values("content-length").collect();
        match lengths[..] {
            [] => Ok(0),
            [length] if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map_err(|_| MALFORMED)
            }
            _ => Err(MALFORMED),
        }
    }
}

/// A method or the name of a header (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Request, Refusal> {
        Request::parse(head.as_bytes())
    }

    fn target(host: &str, port: u16) -> Target {
        Target { host: host.parse().unwrap(), port }
    }

    fn status(head: &str) -> u16 {
        parse(head).unwrap_err().0
    }

    #[test]
    fn a_tunnel_needs_host_and_port() {
        let tunnel = |host: &str| parse(&format!("CONNECT {host} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(tunnel("A.example:443").unwrap(), Request::Tunnel(target("a.example", 443)));
        assert_eq!(tunnel("[::1]:443").unwrap(), Request::Tunnel(target("[::1]", 443)));
        for host in
            ["a.example", "a.example:", "a.example:0", "a.example:65536", "a@b:443", "::1:443", "a..b:1"]
        {
            assert_eq!(tunnel(host).unwrap_err().0, 400, "{host}");
        }
    }

    #[test]
    fn a_request_is_passed_on_with_its_own_host() {
        let request = parse(
            "GET http://A.example:8080/p?q#f HTTP/1.1\r\nHost: other.example\r\nAccept: */*\r\n\
             Proxy-Authorization: secret\r\nConnection: keep-alive\r\n\r\n",
        );
        let head = "GET /p?q HTTP/1.1\r\nHost: A.example:8080\r\nConnection: close\r\nAccept: */*\r\n\r\n";
        let head = head.as_bytes().to_vec();
        let expected = Request::Forward { target: target("a.example", 8080), head, body_bytes: 0 };
        assert_eq!(request.unwrap(), expected);
        let Request::Forward { target: to, head, body_bytes } =
            parse("POST http://a.example HTTP/1.0\r\nContent-Length: 12\r\n\r\n").unwrap()
        else {
            panic!("it is no tunnel");
        };
        assert_eq!((to, body_bytes), (target("a.example", 80), 12));
        assert!(head.starts_with(b"POST / HTTP/1.1\r\n"));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for headers in [
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length : 1\r\n",
            "A: b\r\n c: d\r\n",
            "A: b\nContent-Length: 5\r\n",
            "A: b\rc\r\n",
            "A: \0\r\n",
            ": x\r\n",
            "no colon\r\n",
        ] {
            assert_eq!(
                status(&format!("GET http://a.example/ HTTP/1.1\r\n{headers}\r\n")),
                400,
                "{headers:?}"
            );
        }
        let chunked = "POST http://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status(chunked), 411);
        let many = "A: b\r\n".repeat(101);
        assert_eq!(status(&format!("GET http://a.example/ HTTP/1.1\r\n{many}\r\n")), 431);
    }

    #[test]
    fn other_requests_are_refused() {
        for line in [
            "GET / HTTP/1.1",
            "GET https://a.example/ HTTP/1.1",
            "GET http://user:secret@a.example/ HTTP/1.1",
            "GET http:///x HTTP/1.1",
            "GET  http://a.example/ HTTP/1.1",
            "GET http://a.example/ HTTP/2",
            "GET http://a.example/ x HTTP/1.1",
            "G(T http://a.example/ HTTP/1.1",
            "",
        ] {
            assert_eq!(status(&format!("{line}\r\n\r\n")), 400, "{line}");
        }
    }
}
