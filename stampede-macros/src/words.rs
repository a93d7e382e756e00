//! The words of the grammar, which attribute takes which, and the words of other systems.

use std::fmt;

use crate::errors::{all, list, suggest};

/// Which attribute is being expanded. All take the same path and differ in the arguments that they allow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Coalesce,
    CoalesceByContent,
    Cached,
    DistributedCoalesce,
    SemanticCoalesce,
}

impl Attribute {
    pub(crate) const ALL: &[Attribute] = &[
        Attribute::Coalesce,
        Attribute::CoalesceByContent,
        Attribute::Cached,
        Attribute::DistributedCoalesce,
        Attribute::SemanticCoalesce,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Attribute::Coalesce => "coalesce",
            Attribute::CoalesceByContent => "coalesce_by_content",
            Attribute::Cached => "cached",
            Attribute::DistributedCoalesce => "distributed_coalesce",
            Attribute::SemanticCoalesce => "semantic_coalesce",
        }
    }

    /// Whether its functions keep values outside of the process without being told so.
    pub(crate) fn is_stored(self) -> bool {
        self.is_distributed() || self == Attribute::SemanticCoalesce
    }

    /// Whether its executions are shared between processes.
    pub(crate) fn is_distributed(self) -> bool {
        self == Attribute::DistributedCoalesce
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`#[{}]`", self.name())
    }
}

/// One argument of the attributes.
pub(crate) struct Word {
    pub(crate) name: &'static str,
    /// How it is written, for messages.
    pub(crate) example: &'static str,
    taken_by: &'static [Attribute],
}

const fn word(name: &'static str, example: &'static str, taken_by: &'static [Attribute]) -> Word {
    Word { name, example, taken_by }
}

const ALL: &[Attribute] = Attribute::ALL;
const TYPED: &[Attribute] =
    &[Attribute::Coalesce, Attribute::Cached, Attribute::DistributedCoalesce, Attribute::SemanticCoalesce];
const TAGGED: &[Attribute] =
    &[Attribute::Coalesce, Attribute::CoalesceByContent, Attribute::Cached, Attribute::DistributedCoalesce];
const CONTENT: &[Attribute] = &[Attribute::CoalesceByContent];
const LEASED: &[Attribute] = &[Attribute::DistributedCoalesce, Attribute::SemanticCoalesce];
const SEMANTIC: &[Attribute] = &[Attribute::SemanticCoalesce];

static WORDS: &[Word] = &[
    word("ttl", "ttl = 60", ALL),
    word("namespace", "namespace = \"weather\"", ALL),
    word("key", "key(user.id)` or `key = \"user:{id}\"", TYPED),
    word("fields", "fields = [topic, request.model]", CONTENT),
    word("normalize", "normalize(case, trim)` or `normalize = none", CONTENT),
    word("skip", "skip(client)", ALL),
    word("stale", "stale = \"1m\"", ALL),
    word("stale_if_error", "stale_if_error = \"1h\"", ALL),
    word("early", "early` or `early = 1.5", ALL),
    word("jitter", "jitter = \"10%\"", ALL),
    word("cache_if", "cache_if = |page| page.complete", ALL),
    word("none_ttl", "none_ttl = \"10s\"", ALL),
    word("cache_err", "cache_err = \"5s\"", ALL),
    word("capacity", "capacity = 1000", ALL),
    word("weigh", "weigh = |page| page.len()", ALL),
    word("cost", "cost = |reply| f64::from(reply.tokens)", ALL),
    word("tags", "tags(\"user:{id}\")` or `tags(|user| [user.team.clone()])", TAGGED),
    word("timeout", "timeout = \"10s\"", ALL),
    word("soft_timeout", "soft_timeout = \"200ms\"", ALL),
    word("wait", "wait = \"2s\"", ALL),
    word("max_concurrent", "max_concurrent = 8", ALL),
    word("backend", "backend = \"redis\"", ALL),
    word("version", "version = 2", ALL),
    word("lease", "lease = \"5s\"", LEASED),
    word("share_errors", "share_errors` or `share_errors = false", LEASED),
    word("query", "query = prompt", SEMANTIC),
    word("threshold", "threshold = 0.95", SEMANTIC),
    word("embed", "embed = my_embedder", SEMANTIC),
    word("guard", "guard(numbers, antonyms)` or `guard = none", SEMANTIC),
    word("tenant", "tenant = user.organisation", SEMANTIC),
    word("verify", "verify = means_the_same", SEMANTIC),
    word("verify_timeout", "verify_timeout = \"2s\"", SEMANTIC),
    word("verify_concurrent", "verify_concurrent = 16", SEMANTIC),
    word("shadow", "shadow = 0.01", SEMANTIC),
    word("agree", "agree = |old, new| old.text == new.text", SEMANTIC),
    word("max_error", "max_error = 0.02", SEMANTIC),
    word("on_abandon", "on_abandon = \"finish\"", ALL),
    word("attached", "attached", ALL),
    word("companion", "companion = Name` or `companion = none", ALL),
    word("method", "method", ALL),
    word("crate", "crate = my_crate::stampede_runtime", ALL),
];

/// Words that people bring from other systems, and what to write here.
static FOREIGN: &[(&[&str], &str)] = &[
    (&["maxsize", "max_size", "size", "limit", "max_capacity", "max_entries"], "here it is `capacity`"),
    (
        &["ttl_secs", "ttl_seconds", "ttl_millis", "time", "time_to_live", "expire", "expiry", "expires"],
        "here it is `ttl`, such as `ttl = \"1m30s\"`",
    ),
    (
        &[
            "swr",
            "stale_while_revalidate",
            "stale_ttl",
            "grace",
            "time_to_refresh",
            "refresh_after",
            "refresh_after_write",
        ],
        "an old value is served while a new one is made with `stale`, such as `stale = \"1m\"`",
    ),
    (
        &["refresh", "time_refresh", "idle", "time_to_idle", "sliding"],
        "a hit does not lengthen a `ttl`; what renews values before they end is `early`",
    ),
    (
        &["fail_safe", "failsafe", "stale_on_error", "stale_error", "use_stale"],
        "here it is `stale_if_error`, such as `stale_if_error = \"1h\"`",
    ),
    (
        &["beta", "xfetch", "eager_refresh", "early_refresh", "early_expiration", "refresh_ahead"],
        "here it is `early`, or `early = 1.5` to refresh earlier",
    ),
    (&["ttl_jitter", "jitter_max", "max_jitter"], "here it is `jitter`, such as `jitter = \"10%\"`"),
    (&["weigher", "weight", "weighter"], "here it is `weigh`, such as `weigh = |page| page.len()`"),
    (&["price", "tokens", "usage"], "here it is `cost`, such as `cost = |reply| f64::from(reply.tokens)`"),
    (&["hard_timeout", "deadline"], "here it is `timeout`"),
    (&["content_fields"], "here it is `fields`"),
    (&["key_fn", "key_func", "key_builder", "convert"], "write the expressions of the key: `key(user.id)`"),
    (&["ignore", "exclude"], "here it is `skip`"),
    (&["ns", "prefix", "key_prefix", "name"], "here it is `namespace`"),
    (&["max_concurrency", "concurrency"], "here it is `max_concurrent`"),
    (
        &["lock_timeout", "lock_ttl", "lease_time", "lease_ttl"],
        "how long a leader leads without being heard of is `lease`; how long a caller waits is `wait`",
    ),
    (&["max_poll_time"], "how long a caller waits is `wait`"),
    (&["poll_interval"], "those who wait are woken when there is a result; remove it"),
    (&["condition"], "here it is `cache_if`"),
    (&["sync_writes", "sync_lock"], "one execution per key is always on; remove it"),
    (&["result", "skip_cache_on_error"], "an `Err` is not kept unless `cache_err` says so; remove it"),
    (
        &["cache_error", "cache_errors", "err_ttl", "error_ttl", "negative_ttl"],
        "here it is `cache_err`, such as `cache_err = \"5s\"`",
    ),
    (&["option"], "`None` is a value; to keep `Some` only write `none_ttl = 0`"),
    (&["cache_none", "option_ttl"], "`None` is a value; how long it is kept is `none_ttl`"),
    (
        &["store", "storage", "disk", "redis"],
        "a store beside memory is named by `backend`, such as `backend = \"redis\"`",
    ),
    (&["tag", "groups", "group", "labels", "tag_extractor"], "here it is `tags`, such as `tags(\"user:{id}\")`"),
    (&["schema_version", "revision"], "here it is `version`"),
    (&["redis_client", "redis_url"], "the configuration connects backends; `backend = \"redis\"` names one"),
    (&["embed_fn", "embedder", "embedding", "embedding_fn", "embedding_func"], "here it is `embed`"),
    (&["query_param", "prompt_param", "query_arg", "question", "prompt"], "here it is `query`"),
    (
        &["similarity", "similarity_threshold", "min_similarity"],
        "here it is `threshold`, a cosine similarity from -1 to 1",
    ),
    (
        &["distance_threshold", "max_distance", "min_proximity"],
        "here it is `threshold`, a similarity: 1 less the cosine distance",
    ),
    (&["guards", "evaluation", "similarity_evaluation"], "what turns a near hit into a miss is `guard`"),
    (&["tenant_id", "user", "user_id", "scope"], "here it is `tenant`"),
    (&["judge", "verifier", "rerank", "reranker", "cross_encoder"], "what is asked about near hits is `verify`"),
    (&["error_bound", "delta", "max_error_rate", "error_rate"], "here it is `max_error`, such as `max_error = 0.02`"),
    (
        &["dim", "dimension", "dimensions", "embedding_dim", "model"],
        "the embedder says its model and how many dimensions that has; remove it",
    ),
    (&["index", "vector_store", "data_manager"], "an index is named by `backend`, such as `backend = \"pgvector\"`"),
    (
        &["backend_url", "pool", "database_url"],
        "what a whole program shares is not an argument of the attribute; remove it",
    ),
];

impl Word {
    /// The word `name`, if `attribute` takes it; else a sentence that says what to write.
    pub(crate) fn find(attribute: Attribute, name: &str) -> Result<&'static Word, String> {
        let Some(word) = WORDS.iter().find(|word| word.name == name) else {
            return Err(unknown(attribute, name));
        };
        if word.taken_by.contains(&attribute) {
            return Ok(word);
        }
        Err(format!("`{name}` is an argument of {}, not of {attribute}", word.takers()))
    }

    /// The attributes that take it, for messages.
    fn takers(&self) -> String {
        all(self.taken_by.iter().map(|taker| format!("#[{}]", taker.name())))
    }
}

fn unknown(attribute: Attribute, name: &str) -> String {
    if let Some((_, advice)) = FOREIGN.iter().find(|(words, _)| words.contains(&name)) {
        let of_others = WORDS.iter().filter(|word| !word.taken_by.contains(&attribute));
        let advice = of_others.fold((*advice).to_owned(), |advice, word| {
            let named = format!("`{}`", word.name);
            advice.replace(&named, &format!("{named} of {}", word.takers()))
        });
        return format!("unknown argument `{name}`; {advice}");
    }
    let known = || WORDS.iter().filter(|word| word.taken_by.contains(&attribute)).map(|word| word.name);
    match suggest(name, known()) {
        Some(meant) => format!("unknown argument `{name}`; did you mean `{meant}`?"),
        None => format!("unknown argument `{name}`; {attribute} takes {}", list(known())),
    }
}
