use super::*;

#[test]
fn visible_names_of_every_script_are_kept_byte_for_byte() {
    for text in [
        "Production API Key",
        "<img src=x onerror=alert(1)>",
        "Ключ",
        "本番",
        "مفتاح",
        "Prod ⚠️",
        "a\"b'c&d",
        "é",
        "O’Brien",
        "D'Arcy",
        "Jean‐Luc · №1",
    ] {
        assert_eq!(Name::parse(text).map(|n| n.0), Ok(text.to_owned()));
    }
}

#[test]
fn joiners_and_selectors_are_welcome_where_a_script_or_an_emoji_has_them() {
    for text in [
        "داده\u{200C}پردازان",
        "خودرو\u{200C}ها",
        "ه\u{200D}",
        "क्\u{200D}ष",
        "क्\u{200C}ष",
        "র\u{200D}্যাম",
        "ന്\u{200D}",
        "ශ්\u{200D}රී",
        "👩\u{200D}💻 Laptop",
        "👨\u{200D}👩\u{200D}👧\u{200D}👦",
        "👩🏽\u{200D}🔬",
        "🏳\u{FE0F}\u{200D}🌈",
        "❤\u{FE0F}\u{200D}🔥",
        "1\u{FE0F}\u{20E3} first",
        "#\u{FE0F}\u{20E3}",
        "ℹ\u{FE0F}",
        "☎\u{FE0E}",
        "→\u{FE0E}",
        "🇩🇪",
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        "葛\u{E0100}城",
        "ᠮᠣᠩᠭᠣᠯ\u{180B}",
    ] {
        assert_eq!(Name::parse(text).map(|n| n.0), Ok(text.to_owned()), "{}", text.escape_unicode());
    }
}

#[test]
fn and_nowhere_else() {
    for text in [
        "Pro\u{200C}d",
        "Pro\u{200D}d",
        "Prod\u{200D}",
        "\u{200D}Prod",
        "Про\u{200C}д",
        "本\u{200D}番",
        "👩\u{200D}x",
        "x\u{200D}👩",
        "👩\u{200D}",
        "👩\u{200C}💻",
        "1\u{FE0F}",
        "a\u{FE0F}\u{20E3}",
        "a\u{FE0E}",
        "a\u{E0100}",
        "a\u{180B}",
        "🏴\u{E0067}\u{E0062}",
        "a\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        "🏴\u{E007F}",
        "داده \u{200C}پردازان",
        "a\u{200D}\u{94D}",
        "1\u{200D}\u{94D}",
        "a \u{FE0F}b",
    ] {
        assert!(matches!(Name::parse(text), Err(NameError::Invisible(_))), "{}", text.escape_unicode());
    }
}

#[test]
fn blanks_around_are_cut() {
    assert_eq!(Name::parse(" \t Prod\u{00A0}").map(|n| n.0), Ok("Prod".to_owned()));
}

#[test]
fn length_counts_characters_not_bytes() {
    assert!(Name::parse(&"é".repeat(64)).is_ok());
    assert_eq!(Name::parse(&"é".repeat(65)), Err(NameError::TooLong));
    assert_eq!(Name::parse(" \n "), Err(NameError::Empty));
}

/// First and last of every range of `text::is_invisible`.
const INVISIBLE: &str = "\0\u{1b}\u{1f}\u{7f}\u{80}\u{9f}\n\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}\u{180f}\
    \u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202d}\u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{2800}\u{3164}\
    \u{e000}\u{f8ff}\u{fdd0}\u{fdef}\u{fe00}\u{fe0e}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\u{fff8}\u{fff9}\u{fffb}\u{fffd}\u{fffe}\u{ffff}\
    \u{1bca0}\u{1bca3}\u{1d173}\u{1d17a}\u{1fffe}\u{1ffff}\u{e0000}\u{e0001}\u{e0041}\u{e0100}\u{e01ef}\u{e0fff}\u{e1000}\u{f0000}\u{10ffff}";

#[test]
fn what_cannot_be_seen_is_refused() {
    for c in INVISIBLE.chars() {
        for text in [format!("a{c}b"), format!("{c}b"), format!("a{c}")] {
            let trimmed = text.trim().chars().count() < text.chars().count();
            let refused = matches!(Name::parse(&text), Err(NameError::Invisible(_)));
            assert!(refused || trimmed, "{:04X} in {}", c as u32, text.escape_unicode());
        }
    }
    for c in [
        '\u{a1}', '\u{34e}', '\u{350}', '\u{61b}', '\u{115e}', '\u{1161}', '\u{2010}', '\u{2030}', '\u{2070}',
        '\u{2801}', '\u{fe10}', '\u{fffc}',
    ] {
        assert!(Name::parse(&format!("a{c}b")).is_ok(), "{:04X} can be seen", c as u32);
    }
}

#[test]
fn the_sentence_says_what_to_do_and_where() {
    for (text, sentence) in [
        (
            "Prod\u{200B}uction",
            "Something that can't be seen (U+200B) stands after “Prod”. Delete it, or type the name again.",
        ),
        (
            "\u{202E}Prod",
            "Something that can't be seen (U+202E) stands at the beginning. Delete it, or type the name again.",
        ),
        (
            "The production\u{2060} key",
            "Something that can't be seen (U+2060) stands after “e production”. Delete it, or type the name again.",
        ),
        ("one\ntwo", "Remove the line break after “one”: a name is one line."),
        ("one\ttwo", "Replace the tab after “one” with a space."),
        ("a\u{FFFD}", "A character after “a” can't be read. Type the name again."),
    ] {
        let Err(NameError::Invisible(what)) = Name::parse(text) else { panic!("{}", text.escape_unicode()) };
        assert_eq!(what.to_string(), sentence);
    }
}

#[test]
fn names_that_look_alike_fold_alike() {
    let folded = |text| Name::parse(text).map(|n| n.folded());
    assert_eq!(folded("PRODUCTION"), folded("production"));
    assert_eq!(folded("Ｐrod"), folded("prod"));
    assert_eq!(folded("Straße"), folded("STRASSE"));
    assert_eq!(folded("ΟΔΟΣ"), folded("οδοσ"));
    assert_eq!(folded("Jose\u{301}"), folded("José"));
    assert_eq!(folded("Prod\u{a0} 2"), folded("Prod 2"));
    assert_eq!(folded("Prod ⚠\u{FE0F}"), folded("Prod ⚠"));
    assert_eq!(folded("داده\u{200C}پردازان"), folded("دادهپردازان"));
    assert_ne!(folded("prod"), folded("prod 2"));
    let (england, scotland) = (
        "\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        "\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}",
    );
    assert_ne!(folded(&format!("🏴{england}")), folded(&format!("🏴{scotland}")));
}

#[test]
fn a_name_stored_before_is_among_the_spellings() {
    for text in ["Prod  2", "Prod ⚠\u{FE0F}"] {
        let before = fold(text);
        assert!(Name::parse(text).unwrap().spellings().contains(&before), "{text}");
    }
}

#[test]
fn a_name_that_would_not_be_accepted_today_is_read_back_and_shown() {
    for (stored, shown) in [
        ("Production", "Production"),
        ("a\u{202E}b", "a\u{FFFD}b"),
        ("", "\u{FFFD}"),
        (" \n ", "\u{FFFD}"),
        (" a\u{202E}b ", "a\u{FFFD}b"),
        ("line\nbreak", "line\u{FFFD}break"),
        ("\u{200B}", "\u{FFFD}"),
    ] {
        assert_eq!(Name::stored(stored).as_str(), shown, "{}", stored.escape_unicode());
    }
    assert_eq!(Name::stored(&"n".repeat(300)).as_str(), "n".repeat(MAX_CHARS));
}
