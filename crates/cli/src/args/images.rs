//! Flags of the command group `images`.

use clap::{Args, Subcommand};

use super::{Format, SandboxArgs, SetArgs, at_least_one};
use crate::commands::images::{ExportArgs, ImportArgs, PullArgs, PushArgs};

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// Build the images of instances ahead of their use
    ///
    /// What is there already is not built again, so running it twice is cheap. Without `--specs`, the built-in specs of
    /// SWE-Gym and SWE-bench count.
    ///
    /// Example: swegym images build -i tasks.jsonl --repos repos -j 8
    Build(BuildArgs),
    /// Show the images in the store
    ///
    /// Example: swegym images list --format json
    List(ListArgs),
    /// Show what images take on disk, and what of it they share
    ///
    /// Bytes are apparent (as if nothing were shared), unique (on disk, of this image or repository alone) and
    /// shared (on disk, of others too). The last line sets the bytes on disk against images that share nothing.
    ///
    /// Example: swegym images du
    Du(DuArgs),
    /// Remove what leads nowhere, then what was not used for longest
    ///
    /// What is in use, by any process, stays.
    ///
    /// Example: swegym images gc --budget 50G
    Gc(GcArgs),
    /// Check every file of the store against its digest
    ///
    /// Exit code 1 says that something is wrong and still there.
    ///
    /// Example: swegym images verify --repair
    Verify(VerifyArgs),
    /// Look through the images of instances for what shows the answer
    ///
    /// Commits after the base commit, installed copies of later versions, lines of the gold patch. Nothing of an image
    /// that is built here or imported is run to find them, but under `/usr`. Exit code 1 says that an image leaks.
    ///
    /// Example: swegym images check -i tasks.jsonl --repos repos --format json
    Check(CheckArgs),
    /// Pull images from registries
    ///
    /// Layers go into the layer store, where images share them; what is there is not fetched again. Credentials
    /// are those of Docker and Podman.
    ///
    /// Example: swegym images pull xingyaoww/sweb.eval.x86_64.getmoto_s_moto-7365
    Pull(PullArgs),
    /// Push an image to a registry
    ///
    /// Example: swegym images push getmoto/moto:7365 registry.example.org/team/moto:7365
    Push(PushArgs),
    /// Take images in from an archive: an OCI layout, or what `docker save` writes
    ///
    /// Example: swegym images import moto.tar --name getmoto/moto:7365
    Import(ImportArgs),
    /// Write an image as an archive that other tools load
    ///
    /// Example: swegym images export getmoto/moto:7365 moto.tar --as docker
    Export(ExportArgs),
}

/// Flags of `images build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Say for each instance what building takes and what of its spec is left out, and build nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// Images at once [default: number of processors]
    #[arg(short, long, value_parser = at_least_one)]
    pub(crate) jobs: Option<usize>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) set: SetArgs,
}

/// Flags of `images check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Images at once [default: number of processors]
    #[arg(short, long, value_parser = at_least_one)]
    pub(crate) jobs: Option<usize>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) set: SetArgs,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
}

/// Flags of `images du`.
#[derive(Debug, Args)]
pub(crate) struct DuArgs {
    /// Also set them against images that stand alone: with the programs of this machine that they show
    #[arg(long)]
    pub(crate) with_host_base: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Flags of `images list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Flags of `images gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Bytes that layers may take on disk, such as 500M or 50G [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) budget: Option<u64>,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Flags of `images verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Remove broken layers that are not in use, so that they are built again
    #[arg(long)]
    pub(crate) repair: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// A number of bytes, with a unit of 1024 where one is given.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let plain = text.trim_end_matches(['b', 'B']).trim_end_matches('i');
    let digits = plain.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match plain[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("give a number with K, M, G or T, such as 50G".to_owned()),
    };
    let number: f64 = digits.trim().parse().map_err(|error| format!("{error}"))?;
    let bytes = number * f64::from(1 << (power % 40)) * if power == 40 { (1u64 << 40) as f64 } else { 1.0 };
    if bytes.is_finite() && bytes >= 0.0 { Ok(bytes as u64) } else { Err("must not be negative".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units_of_1024() {
        let sizes = ["0", "12", "1K", "1KiB", "1.5M", "2g", "1T", "3GB"].map(|text| size(text).unwrap());
        assert_eq!(sizes, [0, 12, 1 << 10, 1 << 10, 3 << 19, 2 << 30, 1 << 40, 3 << 30]);
        for bad in ["", "x", "-1", "1X", "G"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
