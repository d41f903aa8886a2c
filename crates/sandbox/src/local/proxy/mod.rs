//! The HTTP proxy through which a sandbox with an allowlist reaches some hosts.
//!
//! It runs in the owner. Its listening socket was made inside, and belongs to the network of the sandbox, which
//! has nothing but a loopback. Whoever connects is hostile, and so is whoever it connects to: names are checked
//! here, resolved here, and the address that was checked is the one that is connected to.

mod address;
mod head;
mod log;
mod policy;
mod relay;
mod serve;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::task::JoinHandle;

pub(crate) use policy::Policy;

use self::log::Log;
use swegym_core::Connections;

/// Variables that name a proxy, of the programs that know them in one case only, too.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];
const NO_PROXY_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];
const NO_PROXY: &str = "localhost,127.0.0.1,::1";

/// The proxy of one sandbox; it ends, with every connection, when this is dropped.
pub(crate) struct Proxy {
    port: u16,
    has_hosts: bool,
    has_service: bool,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Serves a listening socket. Must be called in a tokio runtime.
    pub(crate) fn start(listener: OwnedFd, policy: Policy) -> io::Result<Self> {
        let listener = TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let log = Arc::new(Log::default());
        let (has_hosts, has_service) = (policy.has_hosts(), policy.service().is_some());
        let task = tokio::spawn(serve::serve(listener, Arc::new(policy), Arc::clone(&log)));
        Ok(Self { port, has_hosts, has_service, log, task })
    }

    /// Where the service is reached from inside, if there is one.
    pub(crate) fn service(&self) -> Option<SocketAddr> {
        self.has_service.then_some((Ipv4Addr::LOCALHOST, self.port).into())
    }

    /// What tells commands to use it. Where there is a service and nothing else, commands do better without.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        if self.has_service && !self.has_hosts {
            return BTreeMap::new();
        }
        let address = format!("http://127.0.0.1:{}", self.port);
        let proxies = PROXY_VARIABLES.map(|name| (name.to_owned(), address.clone()));
        let others = NO_PROXY_VARIABLES.map(|name| (name.to_owned(), NO_PROXY.to_owned()));
        proxies.into_iter().chain(others).collect()
    }

    pub(crate) fn connections(&self) -> Connections {
        self.log.connections()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
