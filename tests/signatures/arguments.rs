//! Arguments.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use stampede_runtime::{coalesce, coalesce_by_content};

use super::help::{shares, shares_all, work};

/// One function and one test: the claim, the type, and three values of which the first two are equal.
macro_rules! argument {
    ($($claim:ident: $type:ty = $one:expr, $equal:expr, $other:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $claim() {
            #[coalesce]
            async fn detached(argument: $type) -> String {
                work().await;
                format!("{argument:?}")
            }

            #[coalesce(attached)]
            async fn attached(argument: $type) -> String {
                work().await;
                format!("{argument:?}")
            }

            shares(detached($one), detached($equal), detached($other)).await;
            shares(attached($one), attached($equal), attached($other)).await;
        }
    )*};
}

/// A struct of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Point {
    x: i32,
    y: i32,
}

/// An enum of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Dot,
    Circle { radius: u32 },
}

argument! {
    an_integer: u64 = 1, 1, 2;
    a_char: char = 'a', 'a', 'b';
    a_struct: Point = Point { x: 1, y: 2 }, Point { x: 1, y: 2 }, Point { x: 2, y: 1 };
    a_struct_by_reference: &Point = &Point { x: 1, y: 2 }, &Point { x: 1, y: 2 }, &Point { x: 2, y: 1 };
    an_enum: Shape = Shape::Circle { radius: 1 }, Shape::Circle { radius: 1 }, Shape::Dot;
    a_tuple: (u8, String) = (1, "a".into()), (1, "a".into()), (2, "a".into());
    a_tuple_by_reference: &(u8, String) = &(1, "a".into()), &(1, "a".into()), &(2, "a".into());
    an_array: [u8; 3] = [1, 2, 3], [1, 2, 3], [3, 2, 1];
    an_array_by_reference: &[u8; 3] = &[1, 2, 3], &[1, 2, 3], &[3, 2, 1];
    a_vec: Vec<Point> = vec![Point { x: 1, y: 1 }], vec![Point { x: 1, y: 1 }], vec![];
    a_vec_by_reference: &Vec<String> = &vec!["a".into()], &vec!["a".into()], &vec![];
    a_slice: &[Point] = &[Point { x: 1, y: 1 }], &[Point { x: 1, y: 1 }], &[];
    a_slice_of_strings: &[String] = &["a".into()], &["a".into()], &[];
    bytes: &[u8] = b"a", b"a", b"b";
    a_str: &str = "a", &String::from("a"), "b";
    a_string: String = "a".into(), "a".into(), "b".into();
    a_string_by_reference: &String = &"a".into(), &"a".into(), &"b".into();
    a_path: &Path = Path::new("a"), Path::new("a"), Path::new("b");
    a_path_buf: PathBuf = "a".into(), "a".into(), "b".into();
    an_os_str: &OsStr = OsStr::new("a"), OsStr::new("a"), OsStr::new("b");
    an_os_string: OsString = "a".into(), "a".into(), "b".into();
    a_c_str: &CStr = c"a", c"a", c"b";
    an_arc_str: Arc<str> = "a".into(), "a".into(), "b".into();
    an_arc_str_by_reference: &Arc<str> = &"a".into(), &"a".into(), &"b".into();
    an_arc_slice: Arc<[u8]> = [1].into(), [1].into(), [2].into();
    a_box_str: Box<str> = "a".into(), "a".into(), "b".into();
    an_option: Option<String> = Some("a".into()), Some("a".into()), None;
    an_option_of_a_reference: Option<&str> = Some("a"), Some("a"), None;
    an_option_of_a_reference_to_a_struct: Option<&Point> = Some(&Point { x: 1, y: 1 }), Some(&Point { x: 1, y: 1 }), None;
    an_option_by_reference: &Option<String> = &Some("a".into()), &Some("a".into()), &None;
    a_cow_str: Cow<'_, str> = "a".into(), "a".to_owned().into(), "b".into();
    a_cow_of_bytes: Cow<'_, [u8]> = Cow::Borrowed(b"a"), Cow::Owned(b"a".to_vec()), Cow::Borrowed(b"b");
    a_cow_path: Cow<'_, Path> = Path::new("a").into(), PathBuf::from("a").into(), Path::new("b").into();
    a_static_str: &'static str = "a", "a", "b";
    a_static_cow: Cow<'static, str> = "a".into(), "a".to_owned().into(), "b".into();
    a_map: BTreeMap<String, u8> = [("a".into(), 1)].into(), [("a".into(), 1)].into(), [("a".into(), 2)].into();
    an_address: IpAddr = [127, 0, 0, 1].into(), [127, 0, 0, 1].into(), [127, 0, 0, 2].into();
    a_duration: Duration = Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(2);
    a_time: SystemTime = SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    a_unit: (u8, ()) = (1, ()), (1, ()), (2, ());
    an_f64: f64 = 0.0, -0.0, 1.5;
    an_f32: f32 = f32::NAN, -f32::NAN, 0.0;
    an_f64_by_reference: &f64 = &0.5, &0.5, &1.5;
    an_option_of_a_float: Option<f64> = Some(0.0), Some(-0.0), None;
    an_option_of_a_small_float: Option<f32> = Some(0.5), Some(0.5), Some(1.5);
    a_fn_pointer: fn(&str) -> String = shout, shout, whisper;
}

fn shout(text: &str) -> String {
    text.to_uppercase()
}

fn whisper(text: &str) -> String {
    text.to_lowercase()
}

#[coalesce]
async fn named_cow<'a>(bytes: Cow<'a, [u8]>) -> usize {
    work().await;
    bytes.len()
}

#[tokio::test(start_paused = true)]
async fn a_cow_with_a_named_lifetime() {
    shares(named_cow(Cow::Borrowed(b"a")), named_cow(Cow::Owned(b"a".to_vec())), named_cow(Cow::Borrowed(b""))).await;
}

#[coalesce(key(name.0))]
async fn elided_cow(name: Wrapper<Cow<'static, str>>) -> usize {
    work().await;
    name.0.len()
}

struct Wrapper<T>(T);

#[tokio::test(start_paused = true)]
async fn a_part_of_an_argument() {
    let call = |text: &'static str| elided_cow(Wrapper(text.into()));
    shares(call("a"), call("a"), call("")).await;
}

/// Where people come from.
trait Directory: Send + Sync {
    fn find(&self, id: u32) -> String;
}

struct Letters;

impl Directory for Letters {
    fn find(&self, id: u32) -> String {
        "a".repeat(id as usize)
    }
}

#[coalesce(skip(directory))]
async fn boxed_object(directory: Box<dyn Directory>, id: u32) -> String {
    work().await;
    directory.find(id)
}

#[coalesce(skip(directory))]
async fn arc_object(directory: Arc<dyn Directory>, id: u32) -> String {
    work().await;
    directory.find(id)
}

#[coalesce(skip(directory))]
async fn arc_object_by_reference(directory: &Arc<dyn Directory>, id: u32) -> String {
    work().await;
    directory.find(id)
}

#[coalesce(skip(directory), attached)]
async fn object_reference(directory: &dyn Directory, id: u32) -> String {
    work().await;
    directory.find(id)
}

#[coalesce(skip(directory), attached)]
async fn object_reference_with_lifetime<'a>(directory: &'a (dyn Directory + 'a), id: u32) -> String {
    work().await;
    directory.find(id)
}

#[tokio::test(start_paused = true)]
async fn a_trait_object_that_is_skipped() {
    let boxed = |id| boxed_object(Box::new(Letters), id);
    shares(boxed(1), boxed(1), boxed(2)).await;
    let arc: Arc<dyn Directory> = Arc::new(Letters);
    shares(arc_object(arc.clone(), 1), arc_object(arc.clone(), 1), arc_object(arc.clone(), 2)).await;
    let by_reference = |id| arc_object_by_reference(&arc, id);
    shares(by_reference(1), by_reference(1), by_reference(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_a_trait_object_skipped_and_attached() {
    shares(object_reference(&Letters, 1), object_reference(&Letters, 1), object_reference(&Letters, 2)).await;
    let call = |id| object_reference_with_lifetime(&Letters, id);
    shares(call(1), call(1), call(2)).await;
}

#[coalesce(skip(client), attached)]
async fn not_clone_attached(client: &Wrapper<u32>, id: u32) -> u32 {
    work().await;
    client.0 + id
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_what_is_not_clone_skipped_and_attached() {
    let client = Wrapper(1);
    shares(not_clone_attached(&client, 1), not_clone_attached(&client, 1), not_clone_attached(&client, 2)).await;
}

#[coalesce(skip(_client))]
async fn not_clone_and_unused(_client: &Wrapper<u32>, id: u32) -> u32 {
    work().await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_what_is_not_clone_that_the_body_does_not_need() {
    let client = Wrapper(1);
    shares(not_clone_and_unused(&client, 1), not_clone_and_unused(&client, 1), not_clone_and_unused(&client, 2)).await;
}

/// Borrows, and says so in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name<'a>(&'a str);

#[coalesce(key(name.0), attached)]
async fn struct_with_a_borrow(name: Name<'_>) -> usize {
    work().await;
    name.0.len()
}

#[tokio::test(start_paused = true)]
async fn a_struct_that_borrows_attached_with_a_key() {
    let text = "ab".to_owned();
    let call = |length| struct_with_a_borrow(Name(&text[..length]));
    shares(call(1), call(1), call(2)).await;
}

#[coalesce(key(name.0), attached, companion = none)]
#[allow(elided_lifetimes_in_paths)]
async fn elided_lifetime(name: Name) -> usize {
    work().await;
    name.0.len()
}

#[tokio::test(start_paused = true)]
async fn a_struct_that_borrows_and_hides_it_attached_with_a_key() {
    let text = "ab".to_owned();
    let call = |length| elided_lifetime(Name(&text[..length]));
    shares(call(1), call(1), call(2)).await;
}

#[coalesce(key(**name), attached)]
async fn reference_to_reference(name: &&str) -> usize {
    work().await;
    name.len()
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_a_reference_attached_with_a_key() {
    shares(reference_to_reference(&"a"), reference_to_reference(&"a"), reference_to_reference(&"")).await;
}

#[coalesce(key(names.iter().map(ToString::to_string).collect::<Vec<_>>()), attached)]
async fn slice_of_references(names: &[&str]) -> usize {
    work().await;
    names.concat().len()
}

#[coalesce(key(id), attached)]
async fn slice_of_references_left_out(id: u32, names: &[&str]) -> usize {
    work().await;
    names.concat().len() + id as usize
}

#[tokio::test(start_paused = true)]
async fn a_slice_of_references_attached() {
    shares(slice_of_references(&["a", "b"]), slice_of_references(&["a", "b"]), slice_of_references(&["ab", "c"])).await;
    let call = |id| slice_of_references_left_out(id, &["a", "b"]);
    shares(call(1), call(1), call(2)).await;
}

/// Holds a float, so it is not `Eq`.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Position {
    latitude: f64,
    longitude: f64,
}

#[coalesce_by_content]
async fn float_in_a_struct_by_content(position: Position) -> String {
    work().await;
    format!("{position:?}")
}

#[coalesce(key(position.latitude, position.longitude))]
async fn float_in_a_struct_by_key(position: Position) -> String {
    work().await;
    format!("{position:?}")
}

#[tokio::test(start_paused = true)]
async fn a_struct_with_floats_by_content_or_by_key() {
    let at = |latitude| Position { latitude, longitude: 1.0 };
    let by_content = |latitude| float_in_a_struct_by_content(at(latitude));
    shares(by_content(0.5), by_content(0.5), by_content(1.5)).await;
    let by_key = |latitude| float_in_a_struct_by_key(at(latitude));
    shares(by_key(0.5), by_key(0.5), by_key(1.5)).await;
}

#[coalesce(skip(load), companion = none)]
async fn closure<F, Fut>(id: u32, load: F) -> String
where
    F: Fn(u32) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = String> + Send,
{
    work().await;
    load(id).await
}

#[coalesce(skip(load), companion = none)]
async fn closure_once(id: u32, load: impl FnOnce(u32) -> String + Send + 'static) -> String {
    work().await;
    load(id)
}

#[coalesce(skip(load), attached)]
async fn closure_by_reference(id: u32, load: &dyn Fn(u32) -> String) -> String {
    work().await;
    load(id)
}

#[coalesce(skip(load), attached, companion = none)]
async fn closure_attached(id: u32, load: impl AsyncFnOnce(u32) -> String) -> String {
    work().await;
    load(id).await
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_is_skipped() {
    let load = |id| async move { format!("{id}") };
    shares(closure(1, load), closure(1, load), closure(2, load)).await;
    let load = |id| format!("{id}");
    shares(closure_once(1, load), closure_once(1, load), closure_once(2, load)).await;
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_borrows_skipped_and_attached() {
    let prefix = Rc::new("id");
    let load = |id| format!("{prefix}{id}");
    shares(closure_by_reference(1, &load), closure_by_reference(1, &load), closure_by_reference(2, &load)).await;
    let load = |id| async move { format!("{id}") };
    shares(closure_attached(1, load), closure_attached(1, load), closure_attached(2, load)).await;
}

/// A pattern may take its argument apart.
struct Pair {
    left: u32,
    right: u32,
}

#[coalesce(skip(name))]
async fn patterns((a, b): (u32, u32), [c, ..]: [u32; 2], &d: &u32, mut name: String) -> u32 {
    work().await;
    name.clear();
    a + 2 * b + c + d
}

#[coalesce(attached)]
async fn patterns_attached((a, b): (u32, u32), [c, ..]: [u32; 2], &d: &u32, mut e: u32) -> u32 {
    work().await;
    e += 1;
    a + 2 * b + c + d + e
}

#[tokio::test(start_paused = true)]
async fn patterns_in_the_place_of_names() {
    let call = |a| patterns((a, 2), [3, 4], &5, "x".to_owned());
    shares(call(1), call(1), call(2)).await;
    let call = |a| patterns_attached((a, 2), [3, 4], &5, 6);
    shares(call(1), call(1), call(2)).await;
}

#[coalesce]
async fn reference_pattern(&(left, right): &(u32, u32), Shape2(ref text): Shape2) -> String {
    work().await;
    format!("{left}{right}{text}")
}

/// A tuple struct.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shape2(String);

#[tokio::test(start_paused = true)]
async fn patterns_that_borrow() {
    let call = |pair| reference_pattern(pair, Shape2("a".to_owned()));
    shares(call(&(1, 2)), call(&(1, 2)), call(&(2, 1))).await;
}

#[coalesce(key(pair.left))]
async fn named_struct_in_the_key(pair: Pair) -> u32 {
    work().await;
    let Pair { left, right } = pair;
    left + right
}

#[tokio::test(start_paused = true)]
async fn a_field_of_an_argument_in_the_key() {
    let call = |left| named_struct_in_the_key(Pair { left, right: 1 });
    shares(call(1), call(1), call(2)).await;
}

#[coalesce(key(r#type, r#fn.len()))]
async fn r#match(r#type: u32, r#fn: &str) -> u32 {
    work().await;
    r#type + u32::try_from(r#fn.len()).expect("short")
}

#[coalesce(skip(r#type))]
async fn raw(r#type: u32, r#fn: &str, mut r#loop: u32) -> u32 {
    work().await;
    r#loop += 1;
    r#loop + r#type + u32::try_from(r#fn.len()).expect("short")
}

#[coalesce(key = "{type}/{fn}", attached)]
async fn raw_text(r#type: u32, r#fn: &str) -> u32 {
    work().await;
    r#type + u32::try_from(r#fn.len()).expect("short")
}

#[tokio::test(start_paused = true)]
async fn raw_identifiers() {
    shares(r#match(1, "a"), r#match(1, "a"), r#match(2, "a")).await;
    shares(raw(1, "a", 1), raw(1, "a", 1), raw(1, "a", 2)).await;
    shares(raw_text(1, "a"), raw_text(1, "a"), raw_text(2, "a")).await;
    assert_eq!(r#match::stats().executions, 0);
}

#[coalesce(ttl = "1h")]
async fn changed(mut n: u32, mut items: Vec<u32>) -> Vec<u32> {
    work().await;
    n += 1;
    items.push(n);
    items
}

#[tokio::test(start_paused = true)]
async fn mut_arguments() {
    shares(changed(1, vec![]), changed(1, vec![]), changed(2, vec![])).await;
}

#[coalesce]
async fn unused(_id: u32, _: u32, name: &str) -> String {
    work().await;
    name.to_owned()
}

#[tokio::test(start_paused = true)]
async fn unused_arguments_count_unless_skipped() {
    let (one, other) = super::help::shares_nothing(unused(1, 1, "a"), unused(1, 2, "a")).await;
    assert_eq!(one, other);
    shares_all(unused(1, 1, "a"), unused(1, 1, "a")).await;
}

#[coalesce]
#[allow(clippy::too_many_arguments)]
async fn many(a: u8, b: &str, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8) -> usize {
    work().await;
    b.len() + usize::from(a + c + d + e + f + g + h + i + j + k + l + m)
}

#[tokio::test(start_paused = true)]
async fn many_arguments() {
    let call = |m| many(0, "b", 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, m);
    shares(call(1), call(1), call(2)).await;
}

#[coalesce]
async fn attributes_on_arguments(#[allow(unused_variables)] id: u32, #[allow(unused)] other: &str, n: u32) -> u32 {
    work().await;
    n
}

#[tokio::test(start_paused = true)]
async fn attributes_on_an_argument() {
    let call = |n| attributes_on_arguments(1, "a", n);
    shares(call(1), call(1), call(2)).await;
}

#[coalesce(key(*key), attached)]
async fn not_send_by_key(key: Rc<str>) -> usize {
    work().await;
    key.len()
}

#[tokio::test(start_paused = true)]
async fn an_argument_that_is_not_send_attached_with_a_key() {
    shares(not_send_by_key("a".into()), not_send_by_key("a".into()), not_send_by_key("".into())).await;
}

#[coalesce(key(left, text), companion = none)]
async fn keyed_by_pattern((left, _right): (u32, u32), Shape2(mut text): Shape2) -> String {
    work().await;
    text.push('!');
    format!("{left}{text}")
}

#[coalesce(skip(right))]
async fn skipped_in_pattern((left, right): (u32, u32)) -> u32 {
    work().await;
    left + right
}

#[coalesce(key = "{left}", attached)]
async fn text_by_pattern(&(left, _): &(u32, u32)) -> u32 {
    work().await;
    left
}

#[coalesce_by_content(fields = [name])]
async fn content_by_pattern(Shape2(name): Shape2, _trace: u64) -> String {
    work().await;
    name
}

#[tokio::test(start_paused = true)]
async fn names_in_patterns() {
    let call = |left, right| keyed_by_pattern((left, right), Shape2("a".to_owned()));
    shares(call(1, 1), call(1, 2), call(2, 1)).await;
    shares(skipped_in_pattern((1, 1)), skipped_in_pattern((1, 2)), skipped_in_pattern((2, 1))).await;
    shares(text_by_pattern(&(1, 1)), text_by_pattern(&(1, 2)), text_by_pattern(&(2, 1))).await;
    let call = |name: &str, trace| content_by_pattern(Shape2(name.to_owned()), trace);
    shares(call("a", 1), call(" A", 2), call("b", 1)).await;
    skipped_in_pattern::invalidate((1, 3));
    assert_eq!(skipped_in_pattern::peek((1, 9)), None);
}

#[coalesce(ttl = 60)]
async fn user(user: &str) -> String {
    work().await;
    user.to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_argument_with_the_name_of_its_function() {
    shares(user("a"), user("a"), user("b")).await;
    assert_eq!(user::refresh("a").await, "a");
}

type Speak = Arc<dyn for<'a> Fn(&'a str) -> &'a str + Send + Sync>;

#[coalesce(skip(speak, say))]
async fn higher_ranked(id: u32, speak: Speak, say: &for<'a> fn(&'a str) -> &'a str) -> String {
    work().await;
    format!("{id}{}{}", speak("a"), say("b"))
}

#[tokio::test(start_paused = true)]
async fn lifetimes_that_belong_to_a_type() {
    let call = |id| higher_ranked(id, Arc::new(|text| text), &((|text| text) as for<'a> fn(&'a str) -> &'a str));
    shares(call(1), call(1), call(2)).await;
}

#[coalesce_by_content(attached)]
async fn borrowed_content(names: &[&str], one: &&str) -> usize {
    work().await;
    names.len() + one.len()
}

#[tokio::test(start_paused = true)]
async fn borrows_by_content_attached() {
    shares(borrowed_content(&["a", "b"], &"c"), borrowed_content(&["A", "b "], &"C"), borrowed_content(&["a"], &"c"))
        .await;
}

/// Says when it is gone.
struct Guard(#[expect(dead_code, reason = "held, and dropped")] Arc<()>);

#[coalesce(key(id))]
async fn guarded(id: u32, _guard: Guard, _: Guard, (_, id_again): (Guard, u32)) -> u32 {
    work().await;
    id + id_again
}

#[coalesce(key(id), attached)]
async fn guarded_attached(id: u32, _guard: Guard, _: Guard, (_, id_again): (Guard, u32)) -> u32 {
    work().await;
    id + id_again
}

#[tokio::test(start_paused = true)]
async fn arguments_that_nobody_names_live_as_long_as_the_call() {
    let alive = Arc::new(());
    let guard = || Guard(Arc::clone(&alive));
    let call = guarded(1, guard(), guard(), (guard(), 0));
    let attached = guarded_attached(1, guard(), guard(), (guard(), 0));
    let looks = async { Arc::strong_count(&alive) };
    let (_, _, while_they_run) = tokio::join!(call, attached, looks);
    assert_eq!((while_they_run, Arc::strong_count(&alive)), (7, 1));
}

#[coalesce(skip(argument_1), companion = none)]
async fn named_as_ours((left, right): (u32, u32), argument_1: u32) -> u32 {
    work().await;
    left + right + argument_1
}

#[tokio::test(start_paused = true)]
async fn what_is_skipped_is_no_pattern() {
    let call = |left| named_as_ours((left, 0), 0);
    shares(call(1), call(1), call(2)).await;
}

#[coalesce(key(format!("{:>width$}", name)))]
async fn padded(name: &str, width: usize) -> String {
    work().await;
    format!("{name}{width}")
}

#[tokio::test(start_paused = true)]
async fn a_width_is_an_argument_too() {
    shares(padded("a", 2), padded("a", 2), padded("a", 3)).await;
    assert_eq!(padded::peek("a", 2), None);
}
