//! Where the images of instances come from.

use async_trait::async_trait;
use swegym_core::{Failure, Instance, TestCommand};
use swegym_environment::{BuiltImage, ImageBuilder, PublishedImages, Specs};

/// Gives the images of instances, and says how their tests are run.
#[async_trait]
pub trait Images: Send + Sync {
    /// The image of an instance.
    ///
    /// # Errors
    /// [`Failure`] says what kept it from being built.
    async fn image(&self, instance: &Instance) -> Result<BuiltImage, Failure>;

    /// How the tests of an instance are run in its image.
    ///
    /// # Errors
    /// [`Failure`] when nothing says how.
    fn test_command(&self, instance: &Instance) -> Result<TestCommand, Failure>;
}

#[async_trait]
impl Images for ImageBuilder {
    async fn image(&self, instance: &Instance) -> Result<BuiltImage, Failure> {
        self.image_of(&instance.environment, instance.id()).await.map_err(|error| Failure::from(&error))
    }

    fn test_command(&self, instance: &Instance) -> Result<TestCommand, Failure> {
        let spec = self.specs().get(&instance.environment).map_err(|error| Failure::from(&error))?;
        Ok(spec.test_command())
    }
}

/// Published images; the specs only say how the tests in them are run.
#[async_trait]
impl Images for (PublishedImages, Specs) {
    async fn image(&self, instance: &Instance) -> Result<BuiltImage, Failure> {
        self.0.image_of(instance).await.map_err(|error| Failure::from(&error))
    }

    fn test_command(&self, instance: &Instance) -> Result<TestCommand, Failure> {
        let spec = self.1.get(&instance.environment).map_err(|error| Failure::from(&error))?;
        Ok(spec.test_command())
    }
}
