use ndarray::Array2;
use ragbias_core::{ContentHasher, ContentId, Embedder, Embeddings, Error as CoreError, Role};
use ragbias_generate::{EmbeddingRequest, EmbeddingServer, Error as ServerError};

use crate::Result;

/// A server as an embedder, asked in the way that it takes.
pub(super) struct Served {
    server: EmbeddingServer,
    /// Whether it is told what is a question and what is a document.
    knows_roles: bool,
    /// Whether it is told that the end of a long text may be left out.
    truncates: bool,
    dim: usize,
}

impl Served {
    /// Finds out which fields the server takes: `input_type`, if roles differ, and `truncate`.
    pub(super) fn of(server: EmbeddingServer, roles_differ: bool) -> Result<Self> {
        let tries = [(roles_differ, true), (roles_differ, false), (false, true), (false, false)];
        let mut refused = None;
        for (knows_roles, truncates) in tries {
            let request =
                EmbeddingRequest { input_type: knows_roles.then_some("document"), truncate: truncates };
            match server.embed(&["A bridge."], request) {
                Ok(vectors) => {
                    let dim = vectors.first().map_or(0, Vec::len);
                    return Ok(Self { server, knows_roles, truncates, dim });
                }
                Err(error) if is_refused(&error) => refused = refused.or(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused
            .map_or_else(|| CoreError::component("no request was sent; this is a bug").into(), Into::into))
    }

    pub(super) fn server(&self) -> &EmbeddingServer {
        &self.server
    }

    pub(super) fn knows_roles(&self) -> bool {
        self.knows_roles
    }

    /// The vectors as the server gives them, `(texts, dim)`.
    ///
    /// # Errors
    /// Those of the server, and vectors of another dimension than before.
    pub(super) fn raw(&self, texts: &[&str], role: Role) -> Result<Array2<f32>> {
        let input_type = match role {
            Role::Question => "query",
            Role::Document => "document",
        };
        let request =
            EmbeddingRequest { input_type: self.knows_roles.then_some(input_type), truncate: self.truncates };
        let mut values = Vec::with_capacity(texts.len() * self.dim);
        for row in self.server.embed(texts, request)? {
            if row.len() != self.dim {
                return Err(CoreError::Dimension { expected: self.dim, received: row.len() }.into());
            }
            values.extend(row);
        }
        let rows = Array2::from_shape_vec((texts.len(), self.dim), values);
        Ok(rows.expect("the server's vectors were counted; this is a bug"))
    }
}

/// Whether the server refuses this request, but perhaps not one with other fields or shorter texts.
pub(super) fn is_refused(error: &ServerError) -> bool {
    let ServerError::Server { reason, .. } = error else { return false };
    ["status 400", "status 413", "status 422"].iter().any(|status| reason.starts_with(status))
}

impl Embedder for Served {
    fn id(&self) -> ContentId {
        ContentHasher::new("served/1").field(self.server.label()).field(self.server.model()).finish()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str], role: Role) -> ragbias_core::Result<Embeddings> {
        let rows = self.raw(texts, role).map_err(CoreError::component)?;
        Embeddings::new(rows)?.normalised()
    }
}
