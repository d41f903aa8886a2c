//! What may be reached.

use std::net::{IpAddr, SocketAddr};

use super::address::is_public;
use super::head::{Host, Target};
use crate::{Allowlist, Network, SandboxError};

/// Ports of an entry that names none.
const DEFAULT_PORTS: [u16; 2] = [80, 443];
/// Most entries; more would be a mistake.
const MOST_ENTRIES: usize = 10_000;

/// An allowlist, read.
#[derive(Debug)]
pub(crate) struct Policy {
    rules: Vec<Rule>,
    service: Option<SocketAddr>,
}

#[derive(Debug)]
struct Rule {
    hosts: Hosts,
    /// [`DEFAULT_PORTS`] when `None`.
    port: Option<u16>,
}

#[derive(Debug)]
enum Hosts {
    One(Host),
    /// Every name that ends so, with the dot before it.
    Below(String),
}

impl Policy {
    /// What a network that is an allowlist says.
    pub(crate) fn of(network: &Network) -> Result<Option<Self>, SandboxError> {
        let Network::Allowlist(list) = network else { return Ok(None) };
        let policy = Self::new(list);
        policy
            .map(Some)
            .map_err(|message| SandboxError::Create { step: "read its list of hosts".to_owned(), message })
    }

    /// Reads a list. Fails with what is wrong with it.
    pub(crate) fn new(list: &Allowlist) -> Result<Self, String> {
        if list.hosts.len() > MOST_ENTRIES {
            return Err(format!("it has {} entries, more than {MOST_ENTRIES}", list.hosts.len()));
        }
        let rules = list.hosts.iter().map(|entry| {
            Rule::parse(entry).ok_or_else(|| format!("`{entry}` is neither a name, `*.name` nor an address"))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, service: list.service })
    }

    /// Where requests go that are not for a proxy.
    pub(super) fn service(&self) -> Option<SocketAddr> {
        self.service
    }

    /// Whether there is anything to reach through a proxy.
    pub(super) fn has_hosts(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether a target may be asked for; what its name resolves to is another question.
    pub(super) fn allows(&self, target: &Target) -> bool {
        self.rules.iter().any(|rule| rule.allows(target))
    }

    /// Whether an allowed target may lie at this address.
    pub(super) fn allows_address(&self, address: SocketAddr) -> bool {
        let literal = Target { host: Host::Address(plain(address.ip())), port: address.port() };
        is_public(address.ip()) || self.allows(&literal)
    }
}

/// Version 4 addresses written as version 6 ones mean the former.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        let (name, below) = match entry.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (entry, false),
        };
        let (host, port) = Host::parse_with_port(name)?;
        let hosts = match host {
            Host::Name(name) if below => Hosts::Below(format!(".{name}")),
            Host::Address(_) if below => return None,
            host => Hosts::One(host),
        };
        Some(Self { hosts, port })
    }

    fn allows(&self, Target { host, port }: &Target) -> bool {
        let is_port = match self.port {
            Some(allowed) => *port == allowed,
            None => DEFAULT_PORTS.contains(port),
        };
        is_port
            && match (&self.hosts, host) {
                (Hosts::One(allowed), host) => allowed == host,
                (Hosts::Below(end), Host::Name(name)) => name.ends_with(end.as_str()),
                (Hosts::Below(_), Host::Address(_)) => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hosts: &[&str]) -> Policy {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Policy::new(&Allowlist { hosts, service: None }).unwrap()
    }

    fn allows(policy: &Policy, host: &str, port: u16) -> bool {
        policy.allows(&Target { host: host.parse().unwrap(), port })
    }

    #[test]
    fn names_and_ports_are_allowed_as_listed() {
        let policy = policy(&["Files.Example.", "*.packages.example", "git.example:8443"]);
        assert!(allows(&policy, "files.example", 443) && allows(&policy, "FILES.example.", 80));
        assert!(!allows(&policy, "files.example", 22));
        assert!(!allows(&policy, "x.files.example", 443) && !allows(&policy, "evil-files.example", 443));
        assert!(allows(&policy, "a.b.packages.example", 443));
        assert!(!allows(&policy, "packages.example", 443) && !allows(&policy, "evilpackages.example", 443));
        assert!(allows(&policy, "git.example", 8443) && !allows(&policy, "git.example", 443));
    }

    #[test]
    fn addresses_that_are_not_public_must_be_listed_themselves() {
        let policy = policy(&["files.example", "10.0.0.1:8080", "[::1]:80"]);
        let at = |address: &str| policy.allows_address(address.parse().unwrap());
        assert!(at("1.1.1.1:443") && at("[2606:4700::1111]:443"));
        assert!(at("10.0.0.1:8080") && at("[::ffff:10.0.0.1]:8080") && at("[::1]:80"));
        for address in ["10.0.0.1:80", "127.0.0.1:8080", "169.254.169.254:80", "[::ffff:127.0.0.1]:80"] {
            assert!(!at(address), "{address}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for entry in
            ["", "*", "*.", "*.10.0.0.1", "a b", "https://a.example", "a.example:0x50", "a.example/x"]
        {
            let error = Policy::new(&Allowlist { hosts: vec![entry.to_owned()], service: None }).unwrap_err();
            assert_eq!(error, format!("`{entry}` is neither a name, `*.name` nor an address"));
        }
    }
}
