//! The functions of this program that name a backend, known before any of them is called.

use crate::config::Config;

/// One of them, as its attribute says.
#[derive(Debug)]
pub struct StoredSite {
    module: &'static str,
    function: &'static str,
    namespace: Option<&'static str>,
    backend: &'static str,
    /// It compares meanings: an index will do.
    is_meant: bool,
}

impl StoredSite {
    /// As it stands in the expansion.
    #[must_use]
    pub const fn new(
        module: &'static str,
        function: &'static str,
        namespace: Option<&'static str>,
        backend: &'static str,
    ) -> StoredSite {
        StoredSite { module, function, namespace, backend, is_meant: false }
    }

    /// The same of one that compares meanings.
    #[must_use]
    pub const fn meant(self) -> StoredSite {
        StoredSite { is_meant: true, ..self }
    }
}

inventory::collect!(StoredSite);

/// What is wrong with the backends that functions name, one sentence each. Where the platform does not collect what is
/// linked, nothing is; a function's first call says it then.
pub(crate) fn problems(config: &Config) -> Vec<String> {
    let problem = |site: &StoredSite| {
        let namespace = site.namespace.unwrap_or(site.module);
        let backend = config.backend_of(namespace).unwrap_or(site.backend);
        let backends = &config.backends;
        let problem = if site.is_meant { backends.unknown(backend) } else { backends.no_backend(backend) }?;
        Some(format!("`{namespace}::{}`: {problem}", site.function))
    };
    let mut problems: Vec<String> = inventory::iter::<StoredSite>.into_iter().filter_map(problem).collect();
    problems.sort();
    problems
}
