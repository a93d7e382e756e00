//! What `#[semantic_coalesce]` says about mistakes, and what it takes for the question.

use super::{METHOD, mistakes, only, tokens};
use crate::decorate;
use crate::words::Attribute::{Cached, SemanticCoalesce};

const ASK: &str = "async fn ask(model: u8, prompt: &str) -> String { String::new() }";
const ASK_TWO: &str = "async fn ask(system: &str, prompt: String) -> String { String::new() }";
const ASK_FIELD: &str = "async fn ask(request: Request, model: u8) -> String { String::new() }";

/// The arguments, with what every method has to say.
fn named(args: &str, function: &str) -> String {
    if function.contains("self") { format!("namespace = \"a\", {args}") } else { args.to_owned() }
}

#[track_caller]
fn mistake(args: &str, function: &str) -> String {
    only(mistakes(SemanticCoalesce, &named(args, function), function))
}

#[track_caller]
fn assert_right(args: &str, function: &str) {
    assert_eq!(mistakes(SemanticCoalesce, &named(args, function), function), [""; 0], "{args}: {function}");
}

#[track_caller]
fn assert_said(cases: &[(&str, &str, &str)]) {
    for (args, function, says) in cases {
        assert_eq!(mistake(args, function), *says, "{args}: {function}");
    }
}

fn expansion(args: &str, function: &str) -> String {
    decorate(SemanticCoalesce, tokens(&named(args, function)), tokens(function)).to_string()
}

/// The first key of an expansion: the question, the tenant, and what has to be equal.
#[track_caller]
fn key(args: &str, function: &str) -> (String, Option<String>, Vec<String>) {
    assert_right(args, function);
    let expansion = expansion(args, function);
    let (_, key) = expansion.split_once("Meaning :: new (").expect("it has a key");
    let (key, _) = key.split_once('{').expect("it is looked for");
    let inside = |name: &str| -> Vec<String> {
        let opens = format!("{name} ! (");
        let found = key.split(&opens).skip(1);
        found.map(|rest| rest[..rest.find(')').expect("it is closed")].trim().to_owned()).collect()
    };
    let [question] = <[String; 1]>::try_from(inside("question")).expect("there is one question");
    (question, inside("tenant").into_iter().next(), inside("fed_part"))
}

#[track_caller]
fn assert_key(args: &str, function: &str, question: &str, parts: &[&str]) {
    let (found, _, rest) = key(args, function);
    assert_eq!(
        (found.as_str(), rest),
        (question, parts.iter().map(ToString::to_string).collect()),
        "{args}: {function}"
    );
}

#[test]
fn the_only_text_is_the_question() {
    for text in ["&str", "String", "&String", "&'static str", "&'a str", "std::string::String", "(&str)"] {
        let function = format!("async fn ask<'a>(model: u8, prompt: {text}) -> String {{ String::new() }}");
        let (question, _, parts) = key("", &function);
        assert_eq!((question.trim_start_matches("& "), &parts[..]), ("prompt", &["& model".to_owned()][..]), "{text}");
    }
    assert_key("", "fn ask(mut prompt: String) -> u8 { 0 }", "& prompt", &[]);
    assert_key("skip(system)", ASK_TWO, "& prompt", &[]);
    assert_key("key(system)", ASK_TWO, "& prompt", &["system"]);
    assert_key("key(system.len())", ASK_TWO, "& prompt", &["& system . len ("]);
    assert_key("tenant = system", ASK_TWO, "& prompt", &["system"]);
    assert_key("key(self.id)", "async fn ask(&self, prompt: &str) {}", "prompt", &["& self . id"]);
    assert_key("skip(self)", "async fn ask(self: Arc<Self>, prompt: &str) {}", "prompt", &[]);
}

#[test]
fn other_texts_are_questions_where_that_is_said() {
    for text in ["Cow<'_, str>", "Arc<str>", "Box<str>", "T", "&T", "Prompt", "impl AsRef<str>"] {
        let function = format!("async fn ask<T: AsRef<str>>(prompt: {text}) -> String {{ String::new() }}");
        let args = "namespace = \"a\", companion = none";
        assert_eq!(
            mistake(args, &function),
            "`ask` takes no `&str` or `String`; name what its calls ask with `query = argument`"
        );
        let (question, ..) = key(&format!("{args}, query = prompt"), &function);
        assert_eq!(question.trim_start_matches("& "), "prompt");
    }
    assert_key("query = system", ASK_TWO, "system", &["& prompt"]);
    assert_key("query = \"prompt\"", ASK_TWO, "& prompt", &["system"]);
    assert_key("query = q", "async fn ask(Path(q): Path<String>, model: u8) {}", "& q", &["& model"]);
    assert_key("query = q", "async fn ask(Query(Ask { q, model }): Query<Ask>) {}", "& q", &["& model"]);
    assert_key("query = r#type", "async fn ask(r#type: &str, model: &str) {}", "r#type", &["model"]);
}

#[test]
fn a_field_is_a_question_where_the_rest_is_said_to_count_or_not() {
    assert_key("query = request.text, skip(request)", ASK_FIELD, "& request . text", &["& model"]);
    assert_key("query = request.text, key(request.id)", ASK_FIELD, "& request . text", &["& request . id"]);
    assert_key("query = \"request.0.text\", key(model)", ASK_FIELD, "& request . 0 . text", &["& model"]);
    assert_key("query = self.prompt, skip(self)", METHOD, "& self . prompt", &["& id"]);
    assert_key("query = self.prompt, key(self.model)", METHOD, "& self . prompt", &["& self . model"]);
    assert_key("query = self", "async fn ask(self, model: u8) {}", "& self", &["& model"]);
    // Only its text is in the key.
    let borrowed = "async fn ask(request: &Request<'_>) -> String { String::new() }";
    assert_right("query = request.text, skip(request), attached", borrowed);
    assert_said(&[
        (
            "query = request.text",
            ASK_FIELD,
            "all of `request` has to be equal, the question in it too; name what else counts with `key(…)`, or leave the rest out with `skip(request)`",
        ),
        (
            "query = self.prompt",
            METHOD,
            "say what of `self` tells calls apart, as in `key(self.id, …)`, or that nothing does: `skip(self)`",
        ),
    ]);
}

#[test]
fn what_is_no_question_is_one_error() {
    let takes = "`query` takes an argument, or a field of one such as `request.text`; write `query = prompt`";
    for wrong in
        ["prompt.trim()", "&prompt", "5", "\"a b\"", "messages[0]", "|q| q", "format!(\"{prompt}\")", "(prompt)"]
    {
        assert_eq!(mistake(&format!("query = {wrong}, ttl = 60"), ASK), takes, "query = {wrong}");
    }
    assert_said(&[
        ("query", ASK, "`query` needs a value; write `query = prompt`"),
        ("query = ", ASK, "`query` needs a value; write `query = prompt`"),
        ("query(prompt)", ASK, "`query` needs a value; write `query = prompt`"),
        ("query = promt", ASK, "`ask` has no argument `promt`; did you mean `prompt`?"),
        ("query = self", ASK, "`ask` has no argument `self`; it has `model`, `prompt`"),
        ("query = prompt, query = prompt", ASK, "`query` is already given; keep one of the two"),
        (
            "",
            "async fn ask(a: &str, b: String, c: u8) {}",
            "`ask` takes several texts, `a`, `b`; name the one that is compared by its meaning, such as `query = b`",
        ),
        ("", "async fn ask() {}", "`ask` takes no `&str` or `String`; name what its calls ask with `query = argument`"),
        (
            "",
            "async fn ask(prompts: Vec<String>) {}",
            "`ask` takes no `&str` or `String`; name what its calls ask with `query = argument`",
        ),
        (
            "key(prompt)",
            ASK,
            "every text that `ask` takes is in `key`, `skip` or `tenant`; name the one that is compared by its meaning with `query = argument`",
        ),
        (
            "skip(prompt)",
            ASK,
            "every text that `ask` takes is in `key`, `skip` or `tenant`; name the one that is compared by its meaning with `query = argument`",
        ),
        ("query = prompt, skip(prompt)", ASK, "`prompt` is the question, so it is not skipped; remove one of the two"),
    ]);
    let in_key = "the question is in here, and would have to be equal; in `key(…)` name what else tells calls apart";
    for (args, function) in [
        ("query = prompt, key(model, prompt)", ASK),
        ("query = request.text, key(request)", ASK_FIELD),
        ("query = request.text, key(model, request.text)", ASK_FIELD),
        ("query = self.prompt, key(self)", METHOD),
    ] {
        assert_eq!(mistake(args, function), in_key, "{args}");
    }
}

#[test]
fn what_has_to_be_equal_is_a_list() {
    let takes =
        "`key` takes a list of expressions: what has to be equal besides the question; write `key(request.model)`";
    for wrong in ["\"{model}\"", "\"{zebra}\"", "model", "[model]"] {
        for query in ["", ", query = prompt"] {
            assert_eq!(mistake(&format!("key = {wrong}{query}"), ASK), takes, "key = {wrong}");
        }
    }
    assert_eq!(mistake("key", ASK), "`key` needs a value; write `key(request.model)`");
    assert!(mistake("key()", ASK).starts_with("`key()` makes all calls equal"));
    assert!(mistake("key(model), skip(model)", ASK).contains("keep one of the two"));
    assert!(mistake("skip(modle)", ASK).ends_with("did you mean `model`?"));
}

#[test]
fn tenants_are_expressions() {
    let tenant = |args: &str, function: &str| key(args, function).1;
    assert_eq!(tenant("", ASK), None);
    assert_eq!(tenant("tenant = model", ASK).as_deref(), Some("& model"));
    assert_eq!(tenant("tenant = system", ASK_TWO).as_deref(), Some("system"));
    assert_eq!(tenant("tenant = TENANT", ASK).as_deref(), Some("& TENANT"));
    assert_eq!(tenant("tenant = self.of, skip(self), query = self.q", METHOD).as_deref(), Some("& self . of"));
    let user = "async fn ask(user: &User, prompt: &str) {}";
    assert_eq!(tenant("tenant = user.of, skip(user)", user).as_deref(), Some("& user . of"));
    assert_eq!(tenant("tenant = user.of, key(user.role)", user).as_deref(), Some("& user . of"));
    let takes = "`tenant` takes an expression of the arguments, whose `Display` names the tenant; write `tenant = user.organisation`";
    for wrong in ["\"acme\"", "7", "|user| user.of", "none"] {
        let said = mistakes(SemanticCoalesce, &format!("tenant = {wrong}, skip(user)"), user);
        assert_eq!(said, [takes], "tenant = {wrong}");
    }
    let all = "all of `user` has to be equal, the tenant in it too; name what else counts with `key(…)`, or leave the rest out with `skip(user)`";
    for whole in ["user.of", "user.of()", "of(user)", "format!(\"{user}\")"] {
        assert_eq!(mistake(&format!("tenant = {whole}"), user), all, "tenant = {whole}");
    }
    assert_eq!(mistake("tenant", ASK), "`tenant` needs a value; write `tenant = user.organisation`");
}

#[test]
fn a_companion_takes_what_question_tenant_and_key_mention() {
    let inputs = |args: &str, function: &str| {
        let expansion = expansion(args, function);
        let (_, rest) = expansion.split_once("fn invalidate").expect("there is a companion");
        rest.split_once("->").expect("it returns something").0.trim().to_owned()
    };
    assert_eq!(inputs("", ASK), "(model : u8 , prompt : & str)");
    assert_eq!(inputs("skip(model)", ASK), "(prompt : & str)");
    assert_eq!(inputs("skip(model), tenant = model", ASK), "(model : u8 , prompt : & str)");
    assert_eq!(inputs("query = request.text, skip(request, model)", ASK_FIELD), "(request : Request)");
    assert_eq!(inputs("query = q, skip(n)", "fn ask(Ask(q, n): Ask) {}"), "(__argument_0 : Ask)");
}

#[test]
fn thresholds_are_cosines() {
    for (written, setting) in [
        ("0.95", "0.95"),
        ("1", "1.0"),
        ("0", "0.0"),
        ("1.0", "1.0"),
        ("0.9f64", "0.9"),
        ("-0.5", "- 0.5"),
        ("-1", "- 1.0"),
        ("(0.8)", "0.8"),
        ("NEAR", "NEAR"),
        ("config::NEAR", "config :: NEAR"),
        ("-NEAR", "- NEAR"),
        ("1.0 - DISTANCE", "1.0 - DISTANCE"),
    ] {
        let expansion = expansion(&format!("threshold = {written}"), ASK);
        assert!(expansion.contains(&format!(". threshold ({setting})")), "threshold = {written}: {expansion}");
    }
    for wrong in
        ["1.1", "-1.1", "92", "\"0.92\"", "\"92%\"", "true", "0.9f32", "1u8", "1e400", "-1e400", "|q| 0.9", "--1"]
    {
        assert_eq!(
            mistake(&format!("threshold = {wrong}"), ASK),
            "`threshold` takes a cosine similarity from -1 to 1, such as 0.92: the nearer to 1, the more alike",
            "threshold = {wrong}"
        );
    }
    assert_eq!(mistake("threshold", ASK), "`threshold` needs a value; write `threshold = 0.95`");
}

#[test]
fn near_hits_are_judged_by_functions() {
    let judged = expansion("verify = judges::same, verify_timeout = 1, verify_concurrent = N", ASK);
    assert!(judged.contains("verdict ! (judges :: same , asked , found , value)"), "{judged}");
    assert!(judged.contains(". verify_concurrent (N)"), "{judged}");
    // Before the values are told to be compared by meaning, which they are with it.
    assert!(judged.find(". verify (") < judged.find(". meant ()"), "{judged}");
    let compared = expansion("shadow = \"1%\"", ASK);
    assert!(compared.contains(". shadow (0.01)") && compared.contains(":: agree)"), "{compared}");
    let by_closure = expansion("shadow = SHARE, agree = |old, new| old.id == new.id", ASK);
    assert!(by_closure.contains(". shadow (SHARE)") && by_closure.contains(". agree (| old , new |"), "{by_closure}");
    // A sync body has to be able to leave its call.
    let sync = expansion("shadow = 0.1", "fn ask(prompt: &str) -> String { String::new() }");
    assert!(sync.contains("run_detached"), "{sync}");
    for right in
        ["verify = f, max_error = 0.02", "shadow = 1, max_error = \"2%\"", "verify = f, shadow = 0.1, agree = g"]
    {
        assert_right(right, ASK);
    }
}

#[test]
fn what_nobody_judges_is_one_error() {
    let takes_function = "`verify` takes the path of an async function of the question, the one found, and its answer; write \
                          `verify = means_the_same`";
    let takes_two = "`agree` takes a closure of the old and the new value, or the path of a function; write `agree = |old, \
                     new| old.text == new.text`";
    let takes_part = "`shadow` takes a part of the semantic hits, above 0 and up to 1, such as 0.1, or a percentage, such as \
                      \"10%\"";
    let takes_less = "`max_error` takes the part of the semantic hits that may be wrong, above 0 and below 1, such as 0.02, or \
                      a percentage, such as \"2%\"";
    assert_said(&[
        ("verify = |a, b, c| true", ASK, takes_function),
        ("verify = f()", ASK, takes_function),
        ("verify = \"f\"", ASK, takes_function),
        ("shadow = 0.1, agree = |one| true", ASK, takes_two),
        ("shadow = 0", ASK, takes_part),
        ("shadow = \"200%\"", ASK, takes_part),
        ("shadow = -0.1", ASK, takes_part),
        ("verify = f, max_error = 0", ASK, takes_less),
        ("verify = f, max_error = 1", ASK, takes_less),
        ("shadow = 0.1, max_error = \"100%\"", ASK, takes_less),
        (
            "max_error = 0.02",
            ASK,
            "what is an error, `max_error` learns from `verify` or from `shadow`; add `verify = function` or `shadow = 0.01`",
        ),
        (
            "agree = |old, new| true",
            ASK,
            "`agree` compares what `shadow` executes with what was served; add `shadow = 0.01`, or remove it",
        ),
        (
            "verify_timeout = \"1s\"",
            ASK,
            "`verify_timeout` bounds what `verify` asks; add `verify = function`, or remove it",
        ),
        (
            "verify_concurrent = 4",
            ASK,
            "`verify_concurrent` bounds what `verify` asks; add `verify = function`, or remove it",
        ),
        (
            "shadow = 0.1, attached",
            ASK,
            "an attached body ends with its caller, so nothing can go on behind it; remove `attached`, or `shadow`",
        ),
    ]);
}

#[test]
fn embedders_have_a_name() {
    for embedder in
        ["embed", "crate::embed", "MINILM", "LexicalEmbedder::new()", "from_fn(\"m\", 0, |texts| embed(texts))"]
    {
        let expansion = expansion(&format!("embed = {embedder}"), ASK);
        let named = format!("embedder ! ({} ,", tokens(embedder));
        assert!(expansion.contains(&named), "embed = {embedder}: {expansion}");
    }
    assert!(expansion("embed = crate::embed", ASK).contains(r#", "crate::embed")"#));
    for wrong in ["|text| embed(text)", "async move |texts| embed(texts).await", "(|text| embed(text))"] {
        assert!(
            mistake(&format!("embed = {wrong}"), ASK).contains("and a closure has none; write the path"),
            "{wrong}"
        );
    }
    let takes = "`embed` takes an embedder, or the path of an async function; write `embed = my_embedder`";
    assert_said(&[("embed = \"openai\"", ASK, takes), ("embed = 5", ASK, takes)]);
    assert_eq!(mistake("embed", ASK), "`embed` needs a value; write `embed = my_embedder`");
}

#[test]
fn guards_are_named() {
    let guards = |args: &str| {
        let expansion = expansion(args, ASK);
        let (_, guards) = expansion.split_once(". guards (& [")?;
        Some(guards[..guards.find(']')?].trim().to_owned())
    };
    assert_eq!(guards(""), None);
    assert_eq!(guards("guard = none").as_deref(), Some(""));
    for written in ["guard(numbers, quoted)", "guard = [numbers, quoted]", "guard = [\"numbers\", \"quoted\"]"] {
        assert_eq!(guards(written).as_deref(), Some(r#""numbers" , "quoted""#), "{written}");
    }
    assert!(guards("guard(numbers, antonyms, negation, entities, quoted)").is_some());
    let write = "write `guard(numbers, antonyms)` or `guard = none`";
    assert_said(&[
        ("guard(number)", ASK, "unknown guard `number`; did you mean `numbers`?"),
        ("guard(numbers, antonym)", ASK, "unknown guard `antonym`; did you mean `antonyms`?"),
        ("guard()", ASK, "to have no guard write `guard = none`"),
        ("guard(numbers, numbers)", ASK, "`numbers` is named twice"),
    ]);
    for (wrong, says) in [
        ("guard(judge)", "`guard` takes `numbers`, `antonyms`, `negation`, `entities` and `quoted`; "),
        ("guard = numbers", "`guard` takes a list of guards, or `none`; "),
        ("guard = \"none\"", "`guard` takes a name without quotes; "),
        ("guard = true", "`guard` takes a list of guards, or `none`; "),
        ("guard = judge(0.5)", "`guard` takes a list of guards, or `none`; "),
        ("guard(numbers antonyms)", "`guard` takes names, with `,` between them; "),
        ("guard", "`guard` needs a value; "),
    ] {
        assert_eq!(mistake(wrong, ASK), format!("{says}{write}"), "{wrong}");
    }
}

#[test]
fn the_policy_is_that_of_functions_that_keep() {
    for args in [
        "stale = 60, early, jitter = 0.1, none_ttl = 3, capacity = 3, weigh = f, cache_if = f, cache_err = 5",
        "ttl = \"1h\", lease = \"250ms\", share_errors, version = 2, backend = \"pgvector\"",
        "attached, wait = 3, timeout = 3, max_concurrent = 2",
        "ttl = |answer| answer.ttl",
    ] {
        assert_right(args, ASK);
    }
    assert_right("", "fn ask(prompt: &str) -> u8 { 0 }");
    let zero = "a `ttl` of zero keeps nothing to be near to; for what is shared in flight only there is `#[coalesce]`";
    for written in ["0", "\"0s\"", "none", "(none)"] {
        assert_eq!(mistake(&format!("ttl = {written}"), ASK), zero, "ttl = {written}");
    }
    for (args, function, says) in [
        ("lease = 0", ASK, "a `lease` of zero is lost at once"),
        ("share_errors = yes", ASK, "`share_errors` takes `true` or `false`"),
        ("backend = redis", ASK, "`backend` takes text"),
        ("version = -1", ASK, "fits `u32`"),
        ("fields(prompt)", ASK, "`fields` is an argument of `#[coalesce_by_content]`, not of `#[semantic_coalesce]`"),
        ("normalize = none", ASK, "an argument of `#[coalesce_by_content]`"),
        ("", "async fn ask(&self, prompt: &str) {}", "say what of `self` tells calls apart"),
        ("skip(self)", "async fn ask(&self, prompt: &str) {}", "add `namespace"),
        ("method", ASK, "add `namespace"),
        ("", "async fn ask<T: Hash>(of: T, prompt: &str) {}", "add `namespace"),
        ("companion = none", "async fn ask(of: impl Hash, prompt: &str) {}", "add `namespace"),
        ("attached, stale = 60", ASK, "an attached body ends with its caller"),
    ] {
        let said = mistakes(SemanticCoalesce, args, function);
        assert!(said.iter().any(|sentence| sentence.contains(says)), "{args}: {said:#?}");
    }
}

#[test]
fn it_says_only_what_is_written() {
    let bare = expansion("", ASK);
    assert!(bare.contains("Options :: new () . semantic () ,"), "{bare}");
    assert!(bare.contains("NoTenant") && bare.contains(". meant ()") && !bare.contains("_site !"), "{bare}");
    let all = expansion("threshold = NEAR, embed = f, guard(quoted), share_errors, backend = \"a\"", ASK);
    assert!(all.contains("must_carry") && all.contains("meant_site !"), "{all}");
}

#[test]
fn words_of_other_systems_are_answered_with_ours() {
    for (args, says) in [
        ("embed_fn = f", "here it is `embed`"),
        ("query_param = 0", "here it is `query`"),
        ("similarity_threshold = 0.9", "here it is `threshold`, a cosine similarity from -1 to 1"),
        ("distance_threshold = 0.1", "here it is `threshold`, a similarity: 1 less the cosine distance"),
        ("judge = f", "what is asked about near hits is `verify`"),
        ("error_rate = 0.1", "here it is `max_error`, such as `max_error = 0.02`"),
        ("verfy = f", "did you mean `verify`?"),
        ("guards(numbers)", "what turns a near hit into a miss is `guard`"),
        ("tenant_id = id", "here it is `tenant`"),
        ("dimension = 1536", "the embedder says its model and how many dimensions that has; remove it"),
        ("index = \"pgvector\"", "an index is named by `backend`, such as `backend = \"pgvector\"`"),
        ("maxsize = 500", "here it is `capacity`"),
        ("quer = prompt", "did you mean `query`?"),
        ("treshold = 0.9", "did you mean `threshold`?"),
        ("tennant = model", "did you mean `tenant`?"),
        ("embeds = f", "did you mean `embed`?"),
    ] {
        let (name, _) = args.split_once([' ', '(']).expect("it has a value");
        assert_eq!(mistake(args, ASK), format!("unknown argument `{name}`; {says}"), "{args}");
    }
    let of_another = |args: &str| only(mistakes(Cached, &format!("ttl = 60, {args}"), ASK));
    assert_eq!(of_another("embed_fn = f"), "unknown argument `embed_fn`; here it is `embed` of `#[semantic_coalesce]`");
    assert_eq!(
        of_another("lock_timeout = 5"),
        "unknown argument `lock_timeout`; how long a leader leads without being heard of is `lease` of \
         `#[distributed_coalesce]` and `#[semantic_coalesce]`; how long a caller waits is `wait`"
    );
    for word in [
        "query = prompt",
        "threshold = 0.9",
        "embed = f",
        "guard = none",
        "tenant = model",
        "verify = f",
        "shadow = 0.1",
        "max_error = 0.1",
    ] {
        let (name, _) = word.split_once(' ').expect("it has a value");
        let says = format!("`{name}` is an argument of `#[semantic_coalesce]`, not of `#[cached]`");
        assert_eq!(of_another(word), says);
    }
}

#[test]
fn a_half_typed_attribute_gives_the_item_back() {
    for args in ["query = ", "query = self.", "tenant", "embed = |", "guard(", "guard = [", "threshold = -", "key("] {
        let Ok(args) = args.parse() else { continue };
        let expansion = decorate(SemanticCoalesce, args, tokens(ASK)).to_string();
        assert!(expansion.contains("compile_error") && expansion.ends_with(&tokens(ASK).to_string()), "{expansion}");
    }
}
