//! Guards that files and variables name.

use super::*;
use crate::semantic::{Guard, Guards};

fn guards(config: &Config) -> Option<Guards> {
    config.defaults.guard
}

#[test]
fn by_a_list_or_by_one_text() {
    let both = Guards::of(&[Guard::Numbers, Guard::Entities]);
    for (written, expected) in [
        (r#"["numbers", "entities"]"#, both),
        (r#""numbers, entities""#, both),
        (r#""Quoted""#, Guards::of(&[Guard::Quoted])),
        (r#""none""#, Guards::NONE),
        (r#"["none"]"#, Guards::NONE),
    ] {
        assert_eq!(guards(&toml(&format!("[defaults]\nguard = {written}"))), Some(expected), "{written}");
    }
    let all = Guard::ALL.map(Guard::name).join(",");
    let config = Config::builder().variables([("STAMPEDE_DEFAULTS__GUARD", all)]).build().expect("it is right");
    assert_eq!(guards(&config), Some(Guards::of(&Guard::ALL)));
    assert_eq!(guards(&toml("[defaults]")), None);
}

#[test]
fn what_is_no_guard() {
    let takes =
        "`guard` takes a list of \"numbers\", \"antonyms\", \"negation\", \"entities\" and \"quoted\", or \"none\"";
    for guard in Guard::ALL {
        assert!(takes.contains(&format!("{:?}", guard.name())));
    }
    for (written, shown) in [
        ("[]", "a list"),
        (r#"["number"]"#, "a list"),
        (r#"["numbers", "none"]"#, "a list"),
        (r#"["numbers", 5]"#, "a list"),
        (r#""number""#, "\"number\""),
        (r#""""#, "\"\""),
        ("true", "true"),
    ] {
        assert_toml_refused(
            &format!("[namespaces.a]\nguard = {written}"),
            &format!("the configuration has 1 problem:\n- stampede.toml: `namespaces.a.guard`: {takes}; not {shown}"),
        );
    }
}
