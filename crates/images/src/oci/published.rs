//! Under which names the makers of instance sets publish their images.

use super::{OciError, Reference};

/// A collection of instances and its custom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `xingyaoww/sweb.eval.x86_64.<id>`, `__` as `_s_`.
    SweGym,
    /// `swebench/sweb.eval.<architecture>.<id>`, `__` as `_1776_`.
    SweBench,
    /// `starryzhang/sweb.eval.x86_64.<id>`, `__` as `_1776_`.
    SweBenchLive,
}

/// The columns of an instance that tell of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageFields<'a> {
    /// `instance_id`.
    pub instance_id: &'a str,
    /// `image`: SWE-bench of version 5 and later.
    pub image: Option<&'a str>,
    /// `image_name`: SWE-smith, SWE-rebench.
    pub image_name: Option<&'a str>,
    /// `docker_image`: SWE-bench-Live, R2E-Gym.
    pub docker_image: Option<&'a str>,
}

/// The image of an instance: what a column says, else what the family's custom makes of its id.
///
/// # Errors
/// [`OciError::BadReference`] when neither gives a name, or it is none.
pub fn published_image(fields: ImageFields<'_>, family: Option<Family>) -> Result<Reference, OciError> {
    let columns = [fields.image, fields.image_name, fields.docker_image];
    if let Some(name) = columns.into_iter().flatten().map(str::trim).find(|name| !name.is_empty()) {
        return name.parse();
    }
    let family = family.ok_or_else(|| OciError::BadReference {
        name: fields.instance_id.to_owned(),
        reason: "no column of the instance names an image, and its family is not known",
    })?;
    family.name(fields.instance_id).parse()
}

impl Family {
    fn name(self, instance_id: &str) -> String {
        let (owner, separator) = match self {
            Self::SweGym => ("xingyaoww", "_s_"),
            Self::SweBench => ("swebench", "_1776_"),
            Self::SweBenchLive => ("starryzhang", "_1776_"),
        };
        let id = instance_id.replace("__", separator).to_lowercase();
        format!("{owner}/sweb.eval.x86_64.{id}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: ImageFields<'_> =
        ImageFields { instance_id: "", image: None, image_name: None, docker_image: None };

    #[test]
    fn names_follow_the_custom_of_the_family() {
        let table = [
            (
                Family::SweGym,
                "getmoto__moto-7365",
                "docker.io/xingyaoww/sweb.eval.x86_64.getmoto_s_moto-7365:latest",
            ),
            (
                Family::SweGym,
                "Project-MONAI__MONAI-5686",
                "docker.io/xingyaoww/sweb.eval.x86_64.project-monai_s_monai-5686:latest",
            ),
            (
                Family::SweBench,
                "astropy__astropy-12907",
                "docker.io/swebench/sweb.eval.x86_64.astropy_1776_astropy-12907:latest",
            ),
            (
                Family::SweBench,
                "pytest-dev__pytest-10051",
                "docker.io/swebench/sweb.eval.x86_64.pytest-dev_1776_pytest-10051:latest",
            ),
            (Family::SweBenchLive, "aws__x-1", "docker.io/starryzhang/sweb.eval.x86_64.aws_1776_x-1:latest"),
        ];
        for (family, instance_id, name) in table {
            let reference = published_image(ImageFields { instance_id, ..NONE }, Some(family)).unwrap();
            assert_eq!(reference.to_string(), name);
        }
    }

    #[test]
    fn a_column_counts_before_the_custom() {
        let instance_id = "o__n-1";
        let table = [
            (
                ImageFields { image: Some("swebench/sweb.eval.x86_64.o_1776_n-1:latest"), ..NONE },
                "docker.io/swebench/sweb.eval.x86_64.o_1776_n-1:latest",
            ),
            (
                ImageFields { image_name: Some("docker.io/swerebenchv2/o-n:1-0123abc"), ..NONE },
                "docker.io/swerebenchv2/o-n:1-0123abc",
            ),
            (
                ImageFields { image_name: Some("registry.example.org/o/n.0123abcd"), ..NONE },
                "registry.example.org/o/n.0123abcd:latest",
            ),
            (
                ImageFields {
                    docker_image: Some(" starryzhang/sweb.eval.x86_64.o_1776_n-1"),
                    image: Some(""),
                    ..NONE
                },
                "docker.io/starryzhang/sweb.eval.x86_64.o_1776_n-1:latest",
            ),
        ];
        for (fields, name) in table {
            let reference =
                published_image(ImageFields { instance_id, ..fields }, Some(Family::SweGym)).unwrap();
            assert_eq!(reference.to_string(), name);
        }
    }

    #[test]
    fn without_either_there_is_no_name() {
        assert!(published_image(ImageFields { instance_id: "o__n-1", ..NONE }, None).is_err());
        assert!(
            published_image(ImageFields { instance_id: "o__n 1", ..NONE }, Some(Family::SweGym)).is_err()
        );
        let fields = ImageFields { instance_id: "o__n-1", image: Some("../x"), ..NONE };
        assert!(published_image(fields, Some(Family::SweGym)).is_err());
    }
}
