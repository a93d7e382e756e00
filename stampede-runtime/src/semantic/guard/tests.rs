use proptest::prelude::*;

use super::*;

/// Whether one guard sees a difference. Both ways, and around the look at whether the texts are equal.
fn differ(guard: Guard, one: &str, other: &str) -> bool {
    let seen = guard.sees_that_they_differ(&Text::new(one), &Text::new(other));
    let seen_the_other_way = guard.sees_that_they_differ(&Text::new(other), &Text::new(one));
    assert_eq!(seen, seen_the_other_way, "{guard} of {one:?} and {other:?}");
    seen
}

fn all_differ(guard: Guard, pairs: &[(&str, &str)]) {
    for (one, other) in pairs {
        assert!(differ(guard, one, other), "{guard} sees no difference of {one:?} and {other:?}");
    }
}

fn none_differ(guard: Guard, pairs: &[(&str, &str)]) {
    for (one, other) in pairs {
        assert!(!differ(guard, one, other), "{guard} sees a difference of {one:?} and {other:?}");
    }
}

#[test]
fn other_numbers_are_refused() {
    all_differ(
        Guard::Numbers,
        &[
            ("can I run 5 km", "can I run 6 km"),
            ("best phone of 2015", "best phone of 2016"),
            ("best phone", "best phone of 2016"),
            ("take 5 mg daily", "take 50 mg daily"),
            ("1,000 dollars", "10,000 dollars"),
            ("1000 dollars", "1.000 dollars"),
            ("python 3.1", "python 3.10"),
            ("version 1.2.3", "version 1.2.30"),
            ("five apples", "six apples"),
            ("twenty-one days", "twenty days"),
            ("two hundred and five", "two hundred"),
            ("2 million users", "2 billion users"),
            ("10k users", "10 users"),
            ("20% of 150", "20 of 150"),
            ("twenty per cent off", "twenty off"),
            ("is -5 degrees cold", "is 5 degrees cold"),
            ("minus five degrees", "five degrees"),
            ("solve x=-5", "solve x=5"),
            ("10^-2 in metres", "10^2 in metres"),
            ("is 2*\u{2212}3 more", "is 2*3 more"),
            ("below:-5", "below:5"),
            ("the first world war", "the second world war"),
            ("World War II", "World War III"),
            ("the 21st amendment", "the 22nd amendment"),
            ("is the d5200 good", "is the d5100 good"),
            ("٣ apples", "٤ apples"),
            ("room 12", "room 21"),
        ],
    );
}

#[test]
fn the_same_numbers_pass_however_they_are_written() {
    none_differ(
        Guard::Numbers,
        &[
            ("1,000 dollars", "1000 dollars"),
            ("10,00,000 rupees", "ten lakh rupees"),
            ("1_000_000 rows", "a million rows"),
            ("$5.00", "five dollars"),
            ("05 may", "5 may"),
            ("5km", "5 km"),
            ("50%", "fifty percent"),
            ("50 per cent", "50 %"),
            ("10k users", "ten thousand users"),
            ("2.5 million", "2,500,000"),
            ("3 bn", "3 bn"),
            ("twenty-one", "21"),
            ("two hundred and five", "205"),
            ("one hundred twenty-three thousand four hundred and fifty-six", "123,456"),
            ("nineteen hundred", "1900"),
            ("the 21st", "the twenty-first"),
            ("minus five", "-5"),
            ("x=-5", "x = -5"),
            ("(a)-5", "(a) 5"),
            ("10%-5%", "5% to 10%"),
            ("10 minus 5", "10 - 5"),
            ("covid-19", "covid 19"),
            ("2010-2012", "2010 to 2012"),
            ("World War II", "world war 2"),
            ("the first one", "the 1st"),
            // Words that often are no numbers.
            ("which one is best", "which is best"),
            ("my first kiss", "my kiss"),
            ("wait a second", "wait"),
            ("hundreds of birds", "many birds"),
            ("5 of 5", "5"),
            ("1,2,3", "3, 2, 1"),
        ],
    );
}

#[test]
fn opposite_words_are_refused() {
    all_differ(
        Guard::Antonyms,
        &[
            ("how do I increase my blood pressure", "how do I decrease my blood pressure"),
            ("is it legal to park here", "is it illegal to park here"),
            ("when should I buy stocks", "when should I sell stocks"),
            ("buying a house", "selling a house"),
            ("may I eat before surgery", "may I eat after surgery"),
            ("unlocked phones", "locked phones"),
            ("unhappily married", "happily married"),
            ("dependent variables", "independent variables"),
            ("treat hypertension", "treat hypotension"),
            ("an overactive thyroid", "an underactive thyroid"),
            ("is it useful", "is it useless"),
            ("how do I turn the notifications on", "how do I turn off notifications"),
            ("I cannot log in", "I cannot log out"),
            ("the cheapest hotels", "the most expensive hotels"),
            ("open on Monday", "open on Tuesday"),
            ("bigger screens", "smaller screens"),
            ("the stopped service", "the started service"),
            ("with sugar", "without sugar"),
            ("Upload a file", "DOWNLOAD a file"),
        ],
    );
}

#[test]
fn words_that_exclude_nothing_pass() {
    none_differ(
        Guard::Antonyms,
        &[
            ("gain muscle and lose weight", "lose weight"),
            ("is it good or bad", "is it bad"),
            ("raise my salary", "increase my salary"),
            ("come in", "get off the bus"),
            ("information", "formation"),
            ("underline the word", "overline the word again, and underline it"),
            ("", "increase"),
            ("profit", "revenue"),
        ],
    );
}

#[test]
fn negations_are_refused_and_pass_together() {
    all_differ(
        Guard::Negation,
        &[("is it safe", "is it not safe"), ("I can log in", "I can’t log in"), ("with pay", "without pay")],
    );
    none_differ(
        Guard::Negation,
        &[("I can't log in", "I am not able to log in"), ("safe or not?", "safe?"), ("a knot", "a rope")],
    );
}

#[test]
fn other_names_are_refused() {
    all_differ(
        Guard::Entities,
        &[
            ("who is the president of France", "who is the president of Italy"),
            ("what is HTTP", "what is what"),
            ("is the d5200 good", "is the d5100 good"),
            ("is an iPhone good", "is a phone good"),
            ("I asked. Now I fly to Rome", "I asked. Now I fly to Paris"),
        ],
    );
    none_differ(
        Guard::Entities,
        &[
            ("is an iPhone good", "is an iphone good"),
            ("India's history", "the history of India"),
            ("how do PCs work", "how does a PC work"),
            ("Why is it so? Because", "why is it so"),
            ("I think I'm ill", "am i ill"),
            ("What Is The Best Way To Learn", "what is the nicest manner to study"),
            ("HELP ME NOW PLEASE", "please assist at once"),
            ("the 3rd", "the third"),
        ],
    );
}

#[test]
fn other_quotations_are_refused() {
    all_differ(
        Guard::Quoted,
        &[
            ("what does \"wry\" mean", "what does \"adduce\" mean"),
            ("what does 'wry' mean", "what does 'adduce' mean"),
            ("what does “wry” mean", "what does it mean"),
            ("«oui»", "»non«"),
            ("who sang 「a b」", "who sang 『a c』"),
        ],
    );
    none_differ(
        Guard::Quoted,
        &[
            ("what does \"wry\" mean", "what does ‘Wry’ mean"),
            ("what does \"wry\" mean", "what does wry mean"),
            ("it's John's", "it is of John"),
            ("rock 'n' roll isn't", "rock and roll n"),
            ("an \"open quotation", "an open quotation"),
            ("\"\"", ""),
        ],
    );
}

#[test]
fn the_first_guard_that_is_on_is_named() {
    let all = Guards::of(&Guard::ALL);
    assert_eq!(all.refuse("is 5 good", "is 6 bad"), Some(Guard::Numbers));
    assert_eq!(all.refuse("is it good", "is it not bad"), Some(Guard::Antonyms));
    assert_eq!(Guards::of(&[Guard::Negation]).refuse("is 5 good", "is 6 not bad"), Some(Guard::Negation));
    assert_eq!(Guards::default().refuse("is it so", "is it not so"), None);
    assert_eq!(Guards::NONE.refuse("is 5 good", "is 6 bad"), None);
}

/// As long as the limit on questions lets through. What is not linear takes minutes here.
#[test]
fn hostile_questions_end() {
    let units = [
        "1,",
        "1.",
        "1,1",
        "12,12,",
        "-",
        "'",
        "\"",
        "“",
        "'a ",
        "\"a\" ",
        "\"a\"b",
        "one ",
        "hundred ",
        "and ",
        "million ",
        "five hundred and ",
        "A",
        "A ",
        "İ",
        "é",
        "a\u{301}",
        "🦀",
        "٣",
        "٣.",
        "1k ",
        "5 % ",
        "5 million ",
        "per cent ",
        "turn on ",
        "hypera ",
        "n't ",
        " ",
        "II ",
        "minus ",
        "\0",
        "\u{FEFF}",
        "x1",
        "ﷺ",
        "'s",
        "ss",
    ];
    let guards = Guard::ALL.map(|guard| Guards::of(&[guard]));
    for unit in units {
        let [long, longer] = [0, 1].map(|more| unit.repeat(crate::semantic::QUESTION_BYTES_MAX / unit.len() + more));
        for guards in guards {
            let _ = guards.refuse(&long, &longer);
        }
    }
}

/// Texts of what guards look for, and of anything.
fn texts() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "5",
        "1,000",
        "10,00,000",
        "2.50",
        "1.2.3",
        "k",
        "%",
        " percent",
        "one",
        "twenty",
        "-",
        "hundred",
        " and ",
        "million",
        "third",
        "II",
        "minus ",
        "buy",
        "sell",
        "un",
        "legal",
        "hyper",
        "hypotension",
        "turn",
        "off",
        "not",
        "n't",
        "or not",
        "NASA",
        "iPhone",
        "India's",
        "d5200",
        "\"",
        "“",
        "”",
        "'",
        "’",
        "«",
        "»",
        ".",
        "?",
        " ",
        "  ",
        ",",
        "é",
        "İ",
        "ß",
        "ς",
        "٣",
        "½",
        "🦀",
        "\u{301}",
        "\u{200D}",
        "\0",
    ];
    let piece = prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from), 1 => Just(" ".to_owned())];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn it_makes_no_difference_which_was_asked_first((one, other) in (texts(), texts())) {
        for guard in Guard::ALL {
            differ(guard, &one, &other);
        }
        let all = Guards::of(&Guard::ALL);
        prop_assert_eq!(all.refuse(&one, &other), all.refuse(&other, &one));
    }

    #[test]
    fn no_text_differs_from_itself(text in texts()) {
        for guard in Guard::ALL {
            prop_assert!(!differ(guard, &text, &text), "{}", guard);
        }
    }

    #[test]
    fn spaces_at_the_ends_make_no_difference(text in texts()) {
        for guard in Guard::ALL {
            prop_assert!(!differ(guard, &text, &format!(" {text} ")), "{}", guard);
        }
    }

    #[test]
    fn thousands_may_have_commas(number: u64) {
        let plain = number.to_string();
        let groups: Vec<_> = plain.as_bytes().rchunks(3).rev().map(|three| std::str::from_utf8(three).unwrap()).collect();
        prop_assert!(!differ(Guard::Numbers, &plain, &groups.join(",")));
        prop_assert!(differ(Guard::Numbers, &plain, &number.wrapping_add(1).to_string()));
    }

    #[test]
    fn numbers_may_be_spelt(number in 2..1_000_000_u32) {
        let [digits, words] = [number.to_string(), spelt(number)].map(|number| format!("about {number} users"));
        prop_assert!(!differ(Guard::Numbers, &digits, &words));
        prop_assert!(differ(Guard::Numbers, &spelt(number), &spelt(number + 1)));
    }
}

fn spelt(number: u32) -> String {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let with_rest = |begin: String, rest: u32, joint: &str| match rest {
        0 => begin,
        rest => format!("{begin}{joint}{}", spelt(rest)),
    };
    match number {
        0..20 => SMALL[number as usize].to_owned(),
        20..100 => with_rest(TENS[number as usize / 10].to_owned(), number % 10, "-"),
        100..1000 => with_rest(format!("{} hundred", spelt(number / 100)), number % 100, " and "),
        1000..1_000_000 => with_rest(format!("{} thousand", spelt(number / 1000)), number % 1000, " "),
        _ => with_rest(format!("{} million", spelt(number / 1_000_000)), number % 1_000_000, " "),
    }
}
