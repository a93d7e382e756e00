//! What the database is asked, as SQL. Each is made once for a table; what is the user's is only ever a parameter.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::semantic::schema::{PLACE, PgvectorSchema, Table};

/// So many fresh entries of a partition are compared one by one: that finds exactly the nearest, and an index that holds
/// the entries of all partitions would have to be walked for long before it came to eight of so few. Measured with 384
/// dimensions, eight of 2,000 among 100,000: 3 to 5 ms one by one, 8 to 11 ms through the index; of 5,000 it is 15 and 3.
const FEW: usize = 2_000;
/// As many of longer embeddings, which PostgreSQL keeps beside the row: each is 10 us and not 2.
const FEW_LONG: usize = 1_000;
/// With the rest of an entry, what is longer does not fit into a row.
const SHORT_BYTES_MAX: usize = 1_800;
/// How many entries of all partitions a walk through the index looks at, 10 us each. pgvector's own 20,000 take near to what
/// a query may, and help nobody: eight of a partition that is not small are found among fewer, or others lie in between,
/// of which there may be any number. Then comparing one by one is quicker.
const WALKED_MAX: usize = 2_000;
/// How many times as many as a few are compared one by one where the walk has found too little. It takes 60 to 120 ms,
/// which with the walk is within the time of a query.
const FALLBACK_TIMES: usize = 10;
/// How many entries that have no place any more one `put` takes out. What is left over the next ones do.
const TRIMMED_AT_ONCE: usize = 100;
/// How many rows one statement of `clear` and of a sweep takes out: it is over soon, and others get in between.
pub(super) const CLEARED_AT_ONCE: u64 = 5_000;
pub(super) const SWEPT_AT_ONCE: u64 = 1_000;

/// The hash in the row that says when all of a function was taken out. No question has it.
pub(super) const ALL: &str = "*";

/// What an entry is read from. Times are told as spans by the database's clock, so that of this host does not matter.
/// One that somebody has set to `infinity` is far away.
const ENTRY: &str = "query_hash, query_normalized, response, \
     (extract(epoch FROM now() - greatest(created_at, now() - interval '200 years')) * 1000000)::bigint, \
     (extract(epoch FROM least(greatest(expires_at, now() - interval '200 years'), now() + interval '200 years') - now()) \
       * 1000000)::bigint, cost_micros";
const OF_PLACE: &str = "namespace = $1 AND partition = $2 AND tenant = $3 AND model = $4";

pub(super) struct Statements {
    pub(super) exact: SqlStr,
    pub(super) nearest: SqlStr,
    pub(super) put: SqlStr,
    pub(super) count_hits: SqlStr,
    pub(super) remove: SqlStr,
    pub(super) remove_near: SqlStr,
    pub(super) note_clear: SqlStr,
    pub(super) clear: SqlStr,
    pub(super) sweep: SqlStr,
    pub(super) ping: SqlStr,
}

impl Statements {
    /// `ef_search`: how many candidates a look into the index keeps, where it is not for the database to say.
    pub(super) fn new(schema: &PgvectorSchema, table: &Table, ef_search: Option<u16>) -> Statements {
        let table = table.to_string();
        let all =
            [exact, put, count_hits, remove, remove_near, note_clear, clear, sweep, ping].map(|of| safe(of(&table)));
        let [exact, put, count_hits, remove, remove_near, note_clear, clear, sweep, ping] = all;
        let nearest =
            safe(if schema.is_indexed() { nearest(schema, &table, ef_search) } else { nearest_of_all(&table) });
        Statements { exact, nearest, put, count_hits, remove, remove_near, note_clear, clear, sweep, ping }
    }
}

/// Nothing but constants and a table's name, which has been checked letter by letter.
fn safe(text: String) -> SqlStr {
    AssertSqlSafe(std::sync::Arc::<str>::from(text)).into_sql_str()
}

fn exact(table: &str) -> String {
    format!(
        "SELECT {ENTRY} FROM {table} \
         WHERE {OF_PLACE} AND query_hash = $5 AND response IS NOT NULL AND kept_until > now()"
    )
}

const FRESH: &str = "response IS NOT NULL AND expires_at > now()";

/// Few are compared one by one, and the index is asked about many: two ways, of which the first part opens one. Left to
/// itself the planner goes by statistics, which know nothing of how the embeddings of a partition lie, and takes the
/// index also where it has to be walked from end to end. `CASE` is there to keep it from any other index.
///
/// The walk ends after [`WALKED_MAX`] entries. If it has found less than it was asked for, others' entries are nearer than
/// those of the partition, or its own are that rare, and the way of the few is taken besides, with the newest of them.
///
/// The settings hold for this statement alone. They are made before the index is opened, since the way there is opened by
/// the same part. `relaxed_order`: without it, entries of other partitions and those that are not fresh any more count
/// among the candidates, and what is left may be nothing.
fn nearest(schema: &PgvectorSchema, table: &str, ef_search: Option<u16>) -> String {
    let few = if schema.embedding_bytes() > SHORT_BYTES_MAX { FEW_LONG } else { FEW };
    let more_than_few = few + 1;
    let compared_max = few * FALLBACK_TIMES;
    let ef_search = ef_search.map_or_else(String::new, |candidates| {
        format!(", set_config('hnsw.ef_search', '{candidates}', true) AS candidates")
    });
    let newest = format!("FROM {table} WHERE {OF_PLACE} AND {FRESH} ORDER BY expires_at DESC LIMIT");
    let entries = entries(table);
    format!(
        "WITH way AS MATERIALIZED (\
           SELECT count(*) <= {few} AS is_short, set_config('hnsw.iterative_scan', 'relaxed_order', true) AS scan, \
             set_config('hnsw.max_scan_tuples', '{WALKED_MAX}', true) AS walked{ef_search} \
           FROM (SELECT {newest} {more_than_few}) AS fresh\
         ), walked AS MATERIALIZED (\
           SELECT id, embedding <=> $5 AS distance FROM {table} \
           WHERE NOT (SELECT is_short FROM way) AND CASE WHEN {OF_PLACE} THEN {FRESH} ELSE false END \
           ORDER BY embedding <=> $5 LIMIT $6\
         ), near AS (\
           SELECT id, distance FROM walked \
           UNION \
           (SELECT id, embedding <=> $5 AS distance FROM (SELECT id, embedding {newest} {compared_max}) AS fresh \
             WHERE (SELECT count(*) FROM walked) < $6 ORDER BY embedding <=> $5 LIMIT $6) \
           ORDER BY distance LIMIT $6\
         ) \
         {entries}"
    )
}

/// Without an index there is one way.
fn nearest_of_all(table: &str) -> String {
    let entries = entries(table);
    format!(
        "WITH near AS (\
           SELECT id, embedding <=> $5 AS distance FROM {table} WHERE {OF_PLACE} AND {FRESH} \
           ORDER BY embedding <=> $5 LIMIT $6\
         ) \
         {entries}"
    )
}

/// What is near, as entries. They are read once it is known which: the rest of a row is sorted along otherwise. `OFFSET 0`
/// has each looked up by itself, whatever the planner believes of their number.
fn entries(table: &str) -> String {
    format!(
        "SELECT {ENTRY}, 1 - distance \
         FROM near, LATERAL (SELECT * FROM {table} AS kept WHERE kept.id = near.id OFFSET 0) AS entry"
    )
}

/// `$9` to `$12`: what it cost, when its making began, for how long it is fresh, for how long it is kept: microseconds, since
/// 1970 the second. `$13`: the capacity.
fn put(table: &str) -> String {
    let micros = |number: u8| format!("${number}::float8 * interval '1 microsecond'");
    let [began, fresh, kept] = [10, 11, 12].map(micros);
    let began = format!("(timestamptz 'epoch' + {began})");
    format!(
        "WITH put AS (\
           INSERT INTO {table} AS was ({PLACE}, query_hash, query_normalized, embedding, response, hits, cost_micros, \
             began_at, created_at, expires_at, kept_until) \
           SELECT $1, $2, $3, $4, $5, $6, $7, $8, 0, $9, {began}, now(), now() + {fresh}, now() + {kept} \
           WHERE NOT EXISTS (SELECT FROM {table} WHERE namespace = $1 AND partition = '' AND tenant = '' AND model = '' \
             AND query_hash = '{ALL}' AND began_at > {began}) \
           AND NOT EXISTS (SELECT FROM {table} WHERE {OF_PLACE} AND response IS NULL AND embedding IS NOT NULL \
             AND began_at > {began} AND (1 - (embedding <=> $7))::real >= (cost_micros / 1e6)::real) \
           ON CONFLICT ({PLACE}, query_hash) DO UPDATE SET \
             query_normalized = excluded.query_normalized, embedding = excluded.embedding, \
             response = excluded.response, hits = 0, cost_micros = excluded.cost_micros, began_at = excluded.began_at, \
             created_at = excluded.created_at, expires_at = excluded.expires_at, kept_until = excluded.kept_until \
           WHERE was.began_at <= excluded.began_at OR was.kept_until <= now() \
           RETURNING 1\
         ), beyond AS (\
           SELECT id FROM {table} WHERE EXISTS (SELECT FROM put) AND {OF_PLACE} AND query_hash <> $5 \
             AND response IS NOT NULL AND kept_until > now() \
           ORDER BY created_at DESC OFFSET $13::bigint - 1 LIMIT {TRIMMED_AT_ONCE}\
         ), trimmed AS (\
           DELETE FROM {table} WHERE id IN \
             (SELECT id FROM {table} WHERE id IN (SELECT id FROM beyond) FOR UPDATE SKIP LOCKED)\
         ) \
         SELECT count(*) FROM put"
    )
}

fn count_hits(table: &str) -> String {
    format!(
        "UPDATE {table} AS kept SET hits = kept.hits + counted.hits \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[]) \
           AS counted ({PLACE}, query_hash, hits) \
         WHERE kept.namespace = counted.namespace AND kept.partition = counted.partition \
           AND kept.tenant = counted.tenant AND kept.model = counted.model AND kept.query_hash = counted.query_hash \
           AND kept.response IS NOT NULL"
    )
}

/// What stays is a row without an answer, whose `hits` say whether there was one.
const TAKEN_OUT: &str = "query_normalized = '', embedding = NULL, response = NULL, cost_micros = 0, \
     began_at = clock_timestamp(), created_at = clock_timestamp(), expires_at = clock_timestamp(), \
     kept_until = clock_timestamp() + interval '10 minutes'";
const WAS_KEPT: &str = "(was.response IS NOT NULL AND was.kept_until > now())";

fn remove(table: &str) -> String {
    format!(
        "INSERT INTO {table} AS was ({PLACE}, query_hash, query_normalized, began_at, created_at, expires_at, kept_until) \
         VALUES ($1, $2, $3, $4, $5, '', clock_timestamp(), clock_timestamp(), clock_timestamp(), \
           clock_timestamp() + interval '10 minutes') \
         ON CONFLICT ({PLACE}, query_hash) DO UPDATE SET hits = {WAS_KEPT}::int, {TAKEN_OUT} \
         RETURNING hits, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    )
}

/// Compared one by one: an index may miss some. What stays besides is a row without an answer and with an embedding, `$7`,
/// whose `cost_micros` are the similarity in millionths, `$8`: it refuses what is near and began before.
fn remove_near(table: &str) -> String {
    format!(
        "WITH noted AS (\
           INSERT INTO {table} ({PLACE}, query_hash, query_normalized, embedding, cost_micros, \
             began_at, created_at, expires_at, kept_until) \
           VALUES ($1, $2, $3, $4, $7, '', $5, $8, clock_timestamp(), clock_timestamp(), clock_timestamp(), \
             clock_timestamp() + interval '10 minutes') \
           ON CONFLICT ({PLACE}, query_hash) DO UPDATE SET began_at = clock_timestamp(), \
             kept_until = clock_timestamp() + interval '10 minutes'\
         ), near AS (\
           UPDATE {table} AS was SET hits = {WAS_KEPT}::int, {TAKEN_OUT} \
           WHERE {OF_PLACE} AND response IS NOT NULL AND (1 - (embedding <=> $5))::real >= $6 \
           RETURNING hits) \
         SELECT coalesce(sum(hits), 0)::bigint FROM near"
    )
}

/// Notes that all of a function is taken out.
fn note_clear(table: &str) -> String {
    format!(
        "INSERT INTO {table} ({PLACE}, query_hash, query_normalized, began_at, created_at, expires_at, kept_until) \
         VALUES ($1, '', '', '', '{ALL}', '', clock_timestamp(), clock_timestamp(), clock_timestamp(), \
           clock_timestamp() + interval '10 minutes') \
         ON CONFLICT ({PLACE}, query_hash) DO UPDATE SET {TAKEN_OUT}"
    )
}

/// Takes out some of what began before that, and says how many rows, and how many entries among them.
fn clear(table: &str) -> String {
    format!(
        "WITH gone AS (\
           DELETE FROM {table} AS was WHERE id IN (\
             SELECT id FROM {table} WHERE namespace = $1 AND query_hash <> '{ALL}' \
               AND began_at <= (SELECT began_at FROM {table} WHERE namespace = $1 AND partition = '' AND tenant = '' \
                 AND model = '' AND query_hash = '{ALL}') \
             LIMIT {CLEARED_AT_ONCE}) \
           RETURNING {WAS_KEPT} AS was_kept) \
         SELECT count(*), count(*) FILTER (WHERE was_kept) FROM gone"
    )
}

/// Takes out some of what is not kept any more, unless another process does.
fn sweep(table: &str) -> String {
    format!(
        "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS is_ours) \
         DELETE FROM {table} WHERE id IN (\
           SELECT id FROM {table} WHERE (SELECT is_ours FROM turn) AND kept_until <= now() \
           LIMIT {SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED)"
    )
}

fn ping(table: &str) -> String {
    format!("SELECT 1 FROM {table} LIMIT 0")
}

/// The number of a lock among all of a database.
pub(super) fn lock(purpose: &str, of: &[&str]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    for part in ["stampede", purpose].iter().chain(of) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    i64::from_le_bytes(first)
}
