//! What can go wrong between a region and the screen.

use std::io;
use std::path::PathBuf;

use quantumflow_region::ReadError;

/// Why a look at a region failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of the regions could not be read.
    #[error("failed to list {dir}")]
    List {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is nothing to look at.
    #[error("no region in {dir}: is an engine running? `quantumflow region list` shows dead ones, too")]
    NoRegion {
        /// The directory.
        dir: PathBuf,
    },
    /// The file cannot be read as a region.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A region that was read before cannot be read any more.
    #[error("the region was lost")]
    Lost(#[source] ReadError),
    /// The command line asks for what does not go together.
    #[error("{0}")]
    Usage(&'static str),
    /// The terminal did not do what it was asked.
    #[error("failed to use the terminal")]
    Terminal(#[source] io::Error),
    /// The result could not be written.
    #[error("failed to write the result")]
    Output(#[from] io::Error),
}

impl Error {
    /// Whether the file, the directory or the command line is to blame, rather than something that happened on the way.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Self::List { .. } | Self::NoRegion { .. } | Self::Read(_) | Self::Usage(_)
        )
    }
}
