/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A service could not be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The embedder or the retriever failed.
    #[error(transparent)]
    Ragbias(#[from] ragbias::Error),
    /// The embedder failed.
    #[error(transparent)]
    Core(#[from] ragbias::core::Error),
    /// An address could not be listened on, or a thread not be started.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A setting outside its range.
    #[error(transparent)]
    Limits(#[from] ragbias::core::limits::OutOfLimits),
    /// A token that cannot be sent in a header.
    #[error(
        "{0}\nhint: a token has 16 or more printable ASCII characters and no spaces, as `openssl rand -hex 32` makes it"
    )]
    Token(&'static str),
    /// An address that other machines reach, without a token.
    #[error(
        "{address} can be reached from other machines, expected a token\nhint: RAGBIAS_SERVE_TOKEN or `token-file FILE` sets one; \
         127.0.0.1 is reached from this machine alone"
    )]
    Open {
        /// The address.
        address: std::net::SocketAddr,
    },
}
