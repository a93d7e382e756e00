//! What the attributes say about mistakes, and what they expand to.

use std::path::Path;
use std::{env, fs};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::Item;

use crate::decorate;
use crate::words::Attribute::{self, Cached, Coalesce, CoalesceByContent, DistributedCoalesce};

mod meaning;

fn tokens(source: &str) -> TokenStream {
    source.parse().expect("the test's tokens are Rust")
}

/// The sentences that a use is answered with.
fn mistakes(attribute: Attribute, args: &str, function: &str) -> Vec<String> {
    let expansion: Vec<TokenTree> = decorate(attribute, tokens(args), tokens(function)).into_iter().collect();
    let sentence = |window: &[TokenTree]| match window {
        [TokenTree::Ident(name), _, TokenTree::Group(message)] if name == "compile_error" => {
            Some(syn::parse2::<syn::LitStr>(message.stream()).expect("an error is a text").value())
        }
        _ => None,
    };
    expansion.windows(3).filter_map(sentence).collect()
}

#[track_caller]
fn mistake(args: &str, function: &str) -> String {
    only(mistakes(Coalesce, args, function))
}

#[track_caller]
fn only(mistakes: Vec<String>) -> String {
    match <[String; 1]>::try_from(mistakes) {
        Ok([mistake]) => mistake,
        Err(mistakes) => panic!("expected one mistake, found {mistakes:#?}"),
    }
}

const LOAD: &str = "async fn load(id: u64, name: &str) -> String { String::new() }";
const METHOD: &str = "async fn load(&self, id: u64) -> String { String::new() }";

#[test]
fn all_mistakes_are_reported_at_once_and_the_item_is_given_back() {
    let function = "async fn load(id: &mut u64) -> &str { half. }";
    let expansion = decorate(Coalesce, tokens("ttl = \"3x\", keys = id, capacity = 0"), tokens(function));
    assert!(expansion.to_string().ends_with(&tokens(function).to_string()));
    assert_eq!(mistakes(Coalesce, "ttl = \"3x\", keys = id, capacity = 0", function).len(), 5);
}

#[test]
fn a_half_typed_attribute_gives_the_item_back() {
    for args in
        ["ttl = ", "tt", "ttl", ",", "key(", "key(self.)", "ttl = |", "= 3", "fields = [", "crate = ", "\"ttl\""]
    {
        let Ok(args) = args.parse::<TokenStream>() else { continue };
        let expansion = decorate(Coalesce, args.clone(), tokens(LOAD)).to_string();
        assert!(expansion.contains("compile_error"), "`{args}` is reported");
        assert!(expansion.ends_with(&tokens(LOAD).to_string()), "`{args}` gives the item back");
    }
}

#[test]
fn a_half_typed_body_still_expands() {
    assert_eq!(mistakes(Coalesce, "", "async fn load(id: u64) -> u64 { let x = id.; self.; if }"), [""; 0]);
}

#[test]
fn words_that_are_not_ours_are_answered_with_ours() {
    for (args, says) in [
        ("keys = id", "did you mean `key`?"),
        ("tll = 60", "did you mean `ttl`?"),
        ("maxsize = 3", "`capacity`"),
        ("ttl_secs = 3", "`ttl`"),
        ("sync_writes = true", "always on"),
        ("key_fn = f", "`key(user.id)`"),
        ("ns = \"a\"", "`namespace`"),
        ("wombat = 60", "`#[coalesce]` takes `ttl`, `namespace`, `key`"),
        ("swr = 60", "`stale`"),
        ("refresh = true", "`early`"),
        ("option = true", "`none_ttl = 0`"),
        ("negative_ttl = 5", "`cache_err`"),
        ("weigher = f", "`weigh`"),
        ("xfetch = 1", "`early`"),
        ("fields(id)", "an argument of `#[coalesce_by_content]`, not of `#[coalesce]`"),
    ] {
        let sentence = mistake(args, LOAD);
        assert!(sentence.contains(says), "{sentence}");
    }
    let sentence = only(mistakes(CoalesceByContent, "content_fields = [\"id\"]", LOAD));
    assert_eq!(sentence, "unknown argument `content_fields`; here it is `fields`");
}

#[test]
fn times_are_seconds_text_or_expressions() {
    for good in ["60", "\"1h30m\"", "LIMIT", "ttl::HOUR", "2 * MINUTE", "|v| v.ttl", "(60)", "Duration::from_secs(3)"] {
        assert_eq!(mistakes(Coalesce, &format!("ttl = {good}"), LOAD), [""; 0], "ttl = {good}");
    }
    for bad in ["\"3x\"", "\"60\"", "-60", "1.5", "5m", "true", "99999999999999999999", "\"\""] {
        let sentence = mistake(&format!("ttl = {bad}"), LOAD);
        assert!(sentence.contains("whole seconds or a duration with a unit"), "ttl = {bad}: {sentence}");
    }
    for good in ["none", "(none)", "60", "|v| v.ttl"] {
        assert_eq!(mistakes(DistributedCoalesce, &format!("ttl = {good}"), LOAD), [""; 0], "ttl = {good}");
    }
    for zero in ["0", "\"0s\"", "(0)"] {
        let sentence = only(mistakes(DistributedCoalesce, &format!("ttl = {zero}"), LOAD));
        assert!(sentence.contains("write `ttl = none`"), "{sentence}");
        assert!(only(mistakes(DistributedCoalesce, &format!("lease = {zero}"), LOAD)).contains("lost at once"));
        assert!(mistake(&format!("ttl = {zero}"), LOAD).contains("keeps nothing"));
        assert!(mistake(&format!("wait = {zero}"), LOAD).contains("ends every call"));
        assert!(mistake(&format!("ttl = 60, stale = {zero}"), LOAD).contains("serves nothing old"));
        assert_eq!(mistakes(Coalesce, &format!("ttl = 60, none_ttl = {zero}"), LOAD), [""; 0]);
    }
    assert!(mistake("ttl = none", LOAD).contains("leave `ttl` out"));
    assert!(mistake("timeout = |v| v.t", LOAD).contains("only `ttl` and `cache_err` take a closure"));
}

#[test]
fn numbers_are_literals_or_expressions() {
    let settings = |args: &str, setting: &str| {
        let expansion = decorate(Cached, tokens(&format!("ttl = 60, {args}")), tokens(LOAD)).to_string();
        assert!(expansion.contains(setting), "{args}: {expansion}");
    };
    settings("early", ". early (1.0)");
    settings("early = 2", ". early (2.0)");
    settings("early = (0.5)", ". early (0.5)");
    settings("early = config::BETA", ". early (config :: BETA)");
    settings("jitter = \"12.5%\"", ". jitter (0.125)");
    settings("jitter = \"100 %\"", ". jitter (1.0)");
    settings("jitter = 1", ". jitter (1.0)");
    settings("jitter = PART", ". jitter (PART)");
    settings("backend = \"a\", version = 1 + 1", ". version (1 + 1)");
    for bad in ["-1", "0", "0.0", "101", "\"1\"", "true", "1.5f32", "|v| 1.0", "1e400"] {
        let sentence = only(mistakes(Cached, &format!("ttl = 60, early = {bad}"), LOAD));
        assert!(sentence.contains("a number above 0"), "early = {bad}: {sentence}");
    }
    for bad in ["-0.1", "0", "1.1", "\"0%\"", "\"101%\"", "\"nan%\"", "\"0.1\"", "\"%\"", "'1'"] {
        let sentence = only(mistakes(Cached, &format!("ttl = 60, jitter = {bad}"), LOAD));
        assert!(sentence.contains("a part of the `ttl`"), "jitter = {bad}: {sentence}");
    }
    for bad in ["-1", "4294967296", "1.0", "\"1\"", "1u64", "|v| 1"] {
        let sentence = only(mistakes(Cached, &format!("ttl = 60, backend = \"a\", version = {bad}"), LOAD));
        assert!(sentence.contains("fits `u32`"), "version = {bad}: {sentence}");
    }
}

#[test]
fn one_mistake_in_the_policy_is_one_error() {
    let sync = "fn load(id: u64) -> Result<u64, Error> { todo!() }";
    for (args, function, says) in [
        ("", LOAD, "needs a `ttl`"),
        ("capacity = 3, stale = 60, early, jitter = 0.1, none_ttl = 3, weigh = f, cache_if = f", LOAD, "needs a `ttl`"),
        ("ttl = 0", LOAD, "there is `#[coalesce]`"),
        ("ttl = 60, soft_timeout = 1", LOAD, "add `stale_if_error"),
        ("ttl = 60, stale_if_error = 60, soft_timeout = 0", LOAD, "waits for nothing"),
        ("ttl = 60, stale_if_error = 60, soft_timeout = 3, timeout = 3", LOAD, "`timeout` ends a call"),
        ("ttl = 60, stale_if_error = 60, soft_timeout = 3, wait = \"2s\"", LOAD, "`wait` ends a call"),
        ("ttl = 60, stale = 60, stale_if_error = 60", LOAD, "no caller sees an error"),
        ("ttl = |v| v.t, none_ttl = 60", LOAD, "asked about `None`"),
        ("ttl = 60, version = 2", LOAD, "add `backend"),
        ("ttl = 60, stale = 60, early, attached", LOAD, "remove `attached`, or `stale` and `early`"),
        ("ttl = 60, attached", sync, "stays in its call anyway"),
        ("ttl = 60, timeout = 3, attached", sync, "with `timeout`"),
        ("ttl = 60, attached, on_abandon = \"finish\"", sync, "stays in its call anyway"),
        ("ttl = 60, on_abandon = \"cancel\"", sync, "runs to its end"),
        ("ttl = 60, key(id), backend = \"a\"", METHOD, "add `namespace"),
        ("ttl = 60, method, backend = \"a\"", LOAD, "add `namespace"),
        ("ttl = 60, backend = \"a\"", "async fn load<const N: usize>(id: u64) {}", "add `namespace"),
        ("ttl = 60, backend = \"a\", companion = none", "fn load(id: impl Hash) {}", "add `namespace"),
    ] {
        let sentence = only(mistakes(Cached, args, function));
        assert!(sentence.contains(says), "{args}: {sentence}");
    }
}

#[test]
fn one_mistake_about_a_distributed_function_is_one_error() {
    for (args, function, says) in [
        ("ttl = none, stale = 60", LOAD, "`stale` serves what is kept, and with `ttl = none`"),
        ("ttl = none, none_ttl = 60", LOAD, "`none_ttl` limits what is kept"),
        ("lease = |v| v.lease", LOAD, "only `ttl` and `cache_err` take a closure"),
        ("share_errors = yes", LOAD, "`true` or `false`"),
        ("fields(id)", LOAD, "an argument of `#[coalesce_by_content]`"),
        ("key(id)", METHOD, "add `namespace"),
        ("method", LOAD, "add `namespace"),
        ("key(id), backend = \"a\", version = 2", METHOD, "add `namespace"),
        ("", "async fn load<const N: usize>(id: u64) -> u64 { 0 }", "add `namespace"),
        ("lock_timeout = 5", LOAD, "`lease`"),
        ("poll_interval = 5", LOAD, "woken"),
        ("redis_url = \"a\"", LOAD, "`backend = \"redis\"`"),
    ] {
        let sentence = only(mistakes(DistributedCoalesce, args, function));
        assert!(sentence.contains(says), "{args}: {sentence}");
    }
    for word in ["lease = 5", "share_errors"] {
        let sentence = only(mistakes(Cached, &format!("ttl = 60, {word}"), LOAD));
        let takers = "an argument of `#[distributed_coalesce]` and `#[semantic_coalesce]`, not of `#[cached]`";
        assert!(sentence.contains(takers), "{sentence}");
    }
}

#[test]
fn a_distributed_function_says_only_what_is_written() {
    let expansion =
        |args: &str, function: &str| decorate(DistributedCoalesce, tokens(args), tokens(function)).to_string();
    let bare = expansion("", LOAD);
    assert!(bare.contains("Options :: new () . distributed () ,"), "{bare}");
    assert!(bare.contains("carry ! (String)") && !bare.contains("must_carry"), "{bare}");
    assert!(!bare.contains("stored_site"), "{bare}");
    let all = expansion("version = 2, backend = \"a\", share_errors = false, lease = LEASE, ttl = none", LOAD);
    assert!(all.contains(". share_errors (false)") && all.contains(". lease (LEASE)"), "{all}");
    assert!(all.contains("stored_site") && !all.contains("must_carry"), "{all}");
    for written in ["share_errors", "share_errors = true"] {
        assert!(expansion(written, LOAD).contains("must_carry"), "{written}");
    }
    for (args, function) in [
        ("stale = 60, early, jitter = 0.1, none_ttl = 3, capacity = 3, weigh = f, cache_if = f, cache_err = 5", LOAD),
        ("attached, wait = 3, timeout = 3", LOAD),
        ("version = 2, lease = \"250ms\"", "fn load(id: u64) -> u64 { 0 }"),
        ("namespace = \"a\", key(self.id)", METHOD),
    ] {
        assert_eq!(mistakes(DistributedCoalesce, args, function), [""; 0], "{args}");
    }
}

#[test]
fn rules_of_the_policy_let_the_rest_pass() {
    for (args, function) in [
        ("cache_err = 5, capacity = 100, jitter = 0.1", LOAD),
        ("cache_err = |error| error.ttl()", LOAD),
        ("ttl = 60, stale = 60, stale_if_error = HOUR", LOAD),
        ("ttl = 60, stale_if_error = 60, soft_timeout = SOFT, timeout = 3, wait = 3", LOAD),
        ("ttl = 60, stale_if_error = 60, attached", LOAD),
        ("ttl = 60, backend = \"a\"", "async fn load<'a>(id: &'a u64) -> u64 { 0 }"),
        ("ttl = 60, backend = \"a\", namespace = \"b\", key(self.id)", METHOD),
        ("ttl = 60, wait = 3, max_concurrent = 2", "fn load(id: u64, name: &dyn Name) -> u64 { 0 }"),
    ] {
        let skip = if function.contains("dyn") { ", skip(name)" } else { "" };
        assert_eq!(mistakes(Coalesce, &format!("{args}{skip}"), function), [""; 0], "{args}");
    }
}

#[test]
fn futures_are_told_from_other_results() {
    for future in ["impl Future<Output = u8>", "Pin<Box<dyn Future<Output = u8> + Send>>", "BoxFuture<'static, u8>"] {
        let sentence = mistake("", &format!("fn load(id: u64) -> {future} {{}}"));
        assert!(sentence.contains("returns a future"), "{future}: {sentence}");
    }
    for other in ["FuturesContract", "Arc<FutureDate>", "Box<Future>", "Vec<u8>"] {
        assert_eq!(mistakes(Coalesce, "", &format!("fn load(id: u64) -> {other} {{}}")), [""; 0], "{other}");
    }
}

#[test]
fn lists_are_written_in_three_ways() {
    let expansion = |args| decorate(CoalesceByContent, tokens(args), tokens(LOAD)).to_string();
    let expected = expansion("fields = [name]");
    assert!(!expected.contains("compile_error"));
    assert_eq!(expansion("fields = [\"name\"]"), expected);
    assert_eq!(expansion("fields(name)"), expected);
    assert_eq!(expansion("skip(id)"), expected);
}

#[test]
fn placeholders_name_arguments_and_their_fields() {
    let expansion = decorate(Coalesce, tokens(r#"key = "{{u}}:{id:>8}:{name.0.len}""#), tokens(LOAD)).to_string();
    assert!(expansion.contains(r#"format_args ! ("{{u}}:{}:{}" ,"#), "{expansion}");
    assert!(expansion.contains(r#"Escaped (:: core :: format_args ! ("{:>8}" , id) , ':')"#), "{expansion}");
    assert!(expansion.contains(r#"format_args ! ("{}" , name . 0 . len)"#), "{expansion}");
    for (text, says) in [
        ("{}", "is not an argument"),
        ("{0}", "is not an argument"),
        ("{id()}", "write `key(…)`"),
        ("{idd}", "did you mean `id`?"),
        ("{zebra}", "it has `id`, `name`"),
        ("{id", "without its other half"),
        ("id}", "without its other half"),
        ("{self.id}", "no argument `self`"),
        ("{id}{name}", "write a character between them"),
    ] {
        let sentence = mistake(&format!("key = \"{text}\""), LOAD);
        assert!(sentence.contains(says), "{text}: {sentence}");
    }
}

#[test]
fn one_mistake_about_self_is_one_error() {
    assert!(mistake("", METHOD).contains("say what of `self`"));
    assert!(mistake("skip(slef)", METHOD).contains("did you mean `self`?"));
    assert!(mistake("skip = self", METHOD).contains("takes a list"));
    assert!(mistake("key = id", METHOD).contains("expressions or text"));
    assert_eq!(mistakes(Coalesce, "key(id)", METHOD), [""; 0]);
    assert_eq!(mistakes(CoalesceByContent, "fields = [id]", METHOD), [""; 0]);
}

#[test]
fn companions_take_what_the_key_mentions() {
    let invalidate = |args, function| {
        let expansion = decorate(Coalesce, tokens(args), tokens(function)).to_string();
        let (_, rest) = expansion.split_once("invalidate").expect("there is a companion");
        let (inputs, _) = rest.split_once("->").expect("it returns something");
        inputs.trim().to_owned()
    };
    assert_eq!(invalidate("", LOAD), "(id : u64 , name : & str)");
    assert_eq!(invalidate("skip(name)", LOAD), "(id : u64)");
    assert_eq!(invalidate("key(name.trim())", LOAD), "(name : & str)");
    assert_eq!(invalidate("key(format!(\"{name}-\"))", LOAD), "(name : & str)");
    assert_eq!(
        invalidate("key(user.name, 0..id)", "async fn load(id: u64, name: u8, user: &User) {}"),
        "(id : u64 , user : & User)"
    );
    assert_eq!(invalidate("key(id), companion = load", METHOD), "(id : u64)");
    assert_eq!(invalidate("key(self.id), companion = load", METHOD), "(& self)");
}

#[test]
fn self_is_renamed_only_where_it_is_the_methods() {
    let body = r#"
        use self::inner::{self, Thing};
        struct Local;
        impl Local { fn own(&self) -> u8 { self.x } }
        self::inner::call(self);
        log!(self.id, |x| self.run(x));
        let f: fn(u8) -> u8 = self.f;
        html! { <input type="text" value={self.id}> }
        self.id
    "#;
    let to = syn::parse_str("this").expect("a name");
    let renamed = crate::body::rename_self(tokens(body), &to).expect("self is there").to_string();
    assert_eq!(renamed.matches("this").count(), 6);
    assert!(renamed.contains("use self :: inner :: { self , Thing }"), "{renamed}");
    assert!(renamed.contains("fn own (& self) -> u8 { self . x }"), "{renamed}");
    assert!(crate::body::rename_self(tokens("{ impl A { fn f(self) {} } }"), &to).is_none());
}

#[test]
fn lifetimes_are_told_from_labels() {
    let found =
        |body| crate::body::first_lifetime(tokens(body), &[syn::parse_str("'a").expect("a lifetime")]).is_some();
    assert!(found("{ let x: &'a str = y; }"));
    assert!(found("f::<'a>()"));
    assert!(!found("'a: loop { break 'a; continue 'a }"));
    assert!(!found("let x: &'b str = 'a';"));
    assert!(!found("fn inner<'a>(x: &'a str) -> &'a str { x } struct Inner<'a>(&'a str); inner(y)"));
    assert!(found("let f: fn(u8) -> u8 = g; f::<'a>()"));
}

/// Compares `tests/expand/<attribute>/<shape>.rs` with the expansion beside it; `UPDATE_GOLDENS=1` writes it anew.
#[test]
fn expansions_are_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/expand");
    let mut seen = 0;
    for attribute in Attribute::ALL {
        let entries = fs::read_dir(folder.join(attribute.name())).expect("every attribute has shapes");
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.to_string_lossy().ends_with(".expanded.rs") {
                continue;
            }
            seen += 1;
            let source = fs::read_to_string(&path).expect("a readable file");
            let expansion = expand_file(*attribute, &source);
            let golden = path.with_extension("expanded.rs");
            if env::var_os("UPDATE_GOLDENS").is_some() {
                fs::write(&golden, &expansion).expect("a writable file");
            }
            let known = fs::read_to_string(&golden).unwrap_or_default();
            assert!(expansion == known, "{} expands to\n{expansion}", path.display());
        }
    }
    assert!(seen > 0);
}

/// Expands every use of `attribute` in a file, at the top and in `impl` blocks.
fn expand_file(attribute: Attribute, source: &str) -> String {
    let file = syn::parse_file(source).expect("a shape is Rust");
    let mut expanded = TokenStream::new();
    for item in file.items {
        match item {
            Item::Fn(function) => expanded.extend(expand_item(attribute, &function.attrs.clone(), function)),
            Item::Impl(block) => {
                let functions = block.items.iter().map(|item| match item {
                    syn::ImplItem::Fn(function) => expand_item(attribute, &function.attrs, function.clone()),
                    other => other.to_token_stream(),
                });
                let (generics, _, bounds) = block.generics.split_for_impl();
                let target = &block.self_ty;
                expanded.extend(quote::quote!(impl #generics #target #bounds { #(#functions)* }));
            }
            other => other.to_tokens(&mut expanded),
        }
    }
    let expanded: syn::File = syn::parse2(expanded).expect("an expansion is Rust");
    prettyplease::unparse(&expanded)
}

fn expand_item(attribute: Attribute, attributes: &[syn::Attribute], item: impl ToTokens) -> TokenStream {
    let Some(ours) = attributes.iter().find(|ours| ours.path().is_ident(attribute.name())) else {
        return item.to_token_stream();
    };
    let args = match &ours.meta {
        syn::Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    // The compiler takes the attribute away before it calls the macro.
    let written = ours.to_token_stream().to_string();
    let item = item.to_token_stream().to_string().replacen(&written, "", 1);
    decorate(attribute, args, tokens(&item))
}
