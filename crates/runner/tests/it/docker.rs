//! Outside agents in containers, against a Podman service of our own. Where that cannot be started, the test says so and
//! passes.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use swegym_images::{Image, ImageConfig};
use swegym_sandbox::{Backend, DockerBackend, DockerConfig, Sandbox, SandboxError, SandboxSpec};

use crate::outside::solves_an_instance;
use crate::toy::Toy;

#[expect(dead_code, reason = "the tests of the sandboxes need more of it")]
#[path = "../../../sandbox/tests/podman/mod.rs"]
mod podman;

/// Containers that get the repository when they are made: their image has programs alone.
struct WithRepository {
    backend: DockerBackend,
    files: PathBuf,
}

#[async_trait]
impl Backend for WithRepository {
    async fn create(&self, spec: &SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError> {
        let sandbox = self.backend.create(spec).await?;
        for folder in ["opt", "testbed"] {
            sandbox.upload(&self.files.join(folder), &format!("/{folder}")).await?;
        }
        Ok(sandbox)
    }

    fn unenforced(&self) -> Vec<String> {
        self.backend.unenforced()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outside_agent_solves_an_instance_in_containers() {
    let service = match podman::Service::start(|_| {}) {
        Ok(service) => service,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let state = tempfile::tempdir().unwrap();
    let config = DockerConfig {
        socket: service.socket().to_string_lossy().into_owned(),
        pull: false,
        guest_program: env!("CARGO_BIN_EXE_swegym-runner-test-guest").into(),
        guest_args: Vec::new(),
        state_dir: state.path().to_owned(),
    };
    let backend = DockerBackend::start(&config).await.unwrap();
    let env = [("HOME", "/root"), ("PATH", "/usr/bin")];
    let image = Image {
        layers: Vec::new(),
        reference: Some(podman::FULL.to_owned()),
        config: ImageConfig {
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            workdir: "/testbed".into(),
            ..ImageConfig::default()
        },
    };
    let toy = Toy::on(|files| Arc::new(WithRepository { backend, files }), image);
    solves_an_instance(toy).await;
}
