//! Measures how long it takes to make a sandbox, run `true` in it, and destroy it. Prints one line of JSON.
//!
//! `cargo run --release -p swegym-sandbox --example create_bench -- path/to/swegym-guest [rounds]`
#![expect(clippy::print_stdout, reason = "what this program is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use swegym_images::{Image, ImageConfig};
use swegym_sandbox::{
    Backend, ExecRequest, Limits, LocalBackend, LocalConfig, Network, SandboxSpec, Upper, host_base,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let guest = args.next().ok_or("the first argument is the guest program")?;
    let rounds: usize = args.next().map_or(Ok(200), |rounds| rounds.parse())?;
    let backend = LocalBackend::start(&LocalConfig {
        guest_program: guest.into(),
        guest_args: Vec::new(),
        state_dir: std::env::temp_dir().join("swegym-create-bench"),
    })
    .await?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(round(&backend).await?);
    }
    let [created, ran, destroyed] = [0, 1, 2].map(|part| median(times.iter().map(|time| time[part])));
    let whole = median(times.iter().map(|time| time.iter().sum()));
    println!(
        "{{\"rounds\": {rounds}, \"median_ms\": {{\"create\": {created:.2}, \"true\": {ran:.2}, \"destroy\": \
         {destroyed:.2}, \"all\": {whole:.2}}}}}"
    );
    Ok(())
}

/// Times of creating, running and destroying.
async fn round(backend: &LocalBackend) -> Result<[Duration; 3], Box<dyn Error>> {
    let begun = Instant::now();
    let sandbox = backend.create(&spec()).await?;
    let created = Instant::now();
    let output = sandbox.exec(&ExecRequest::new(["true"])).await?;
    let ran = Instant::now();
    sandbox.destroy().await?;
    if !output.success() {
        return Err(format!("`true` ended with {:?}", output.status).into());
    }
    Ok([created - begun, ran - created, ran.elapsed()])
}

fn spec() -> SandboxSpec {
    SandboxSpec {
        image: Image {
            config: ImageConfig { binds: host_base(), ..ImageConfig::default() },
            ..Image::default()
        },
        upper: Upper::Memory,
        limits: Limits::default(),
        network: Network::None,
        extra_binds: Vec::new(),
    }
}

/// In milliseconds.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
