//! What characters are, where it matters for names and addresses (Unicode 16 or later).

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{CanonicalCombiningClass, ExtendedPictographic, JoiningType},
};

/// Zero-width joiner: joins letters that would stand apart, and emoji into one picture.
pub const JOINER: char = '\u{200D}';
/// Zero-width non-joiner: parts letters that would join, as Persian spelling does inside words.
pub const NON_JOINER: char = '\u{200C}';

/// Whether a character takes no room and changes at most how its neighbours are drawn: `Default_Ignorable_Code_Point`
/// (DerivedCoreProperties.txt) and the Arabic letter mark. What is pasted often brings some along.
pub fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether a character cannot be seen: what is ignorable, control characters, line and paragraph separators, the
/// interlinear annotation marks, the blank Braille cell, private use and noncharacters. U+FFFD is here because form decoding
/// turns bytes that are not UTF-8 (a lone surrogate, say) into it.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || is_ignorable(c)
        || matches!(c,
            '\u{2028}'..='\u{2029}' | '\u{2800}' | '\u{E000}'..='\u{F8FF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{FFFD}'
            | '\u{FDD0}'..='\u{FDEF}' | '\u{E1000}'..='\u{10FFFF}')
        || (c as u32) & 0xFFFE == 0xFFFE
}

/// Whether the character at `at`, which cannot be seen alone, is a part of how its neighbours are written.
pub fn belongs_there(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| text[at]);
    let after = text.get(at + 1).copied();
    match text[at] {
        JOINER => joins_emoji(text, at) || forms_conjunct(before, after) || shapes_letters(text, at, true),
        NON_JOINER => forms_conjunct(before, after) || shapes_letters(text, at, false),
        '\u{FE0E}' | '\u{FE0F}' => selects_presentation(before, after),
        // Mongolian letters have forms that are chosen by hand, and a separator before the last vowel.
        '\u{180B}'..='\u{180F}' => before.is_some_and(|c| matches!(c, '\u{1820}'..='\u{18AA}')),
        // How an ideograph is drawn in a person's name.
        '\u{FE00}'..='\u{FE02}' | '\u{E0100}'..='\u{E01EF}' => before.is_some_and(is_ideograph),
        '\u{E0020}'..='\u{E007F}' => names_a_flag(text, at),
        _ => false,
    }
}

fn is_pictograph(c: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(c)
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFD}')
}

/// 👩‍💻: between two pictures, of which the first may have a colour of skin or a selector.
fn joins_emoji(text: &[char], at: usize) -> bool {
    let before = text[..at].iter().rev().find(|c| !matches!(c, '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}'));
    before.is_some_and(|&c| is_pictograph(c)) && text.get(at + 1).is_some_and(|&c| is_pictograph(c))
}

/// Beside the virama of an Indic script a joiner chooses between the ways to write a cluster (RFC 5892, A.1 and A.2; Bengali
/// has it on either side).
fn forms_conjunct(before: Option<char>, after: Option<char>) -> bool {
    let is_virama =
        |c: char| CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama;
    before.is_some_and(is_virama)
        || before.is_some_and(|c| c.is_alphabetic() && !c.is_ascii()) && after.is_some_and(is_virama)
}

/// In scripts whose letters join, such as Arabic: between two letters, and a joiner also beside a single one.
fn shapes_letters(text: &[char], at: usize, joins: bool) -> bool {
    let kind = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    let is_letter = |c: Option<JoiningType>| {
        matches!(c, Some(JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::RightJoining))
    };
    let visible = |kind: &JoiningType| *kind != JoiningType::Transparent;
    let before = is_letter(text[..at].iter().rev().map(kind).find(visible));
    let after = is_letter(text[at + 1..].iter().map(kind).find(visible));
    if joins { before || after } else { before && after }
}

/// ⚠️ in colour or not, and the keys 1️⃣, #️⃣ and *️⃣. After a letter a selector would be a disguise.
fn selects_presentation(before: Option<char>, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    let is_key = matches!(before, '0'..='9' | '#' | '*') && after == Some('\u{20E3}');
    is_key || is_pictograph(before) || !before.is_alphanumeric() && !before.is_whitespace()
}

/// 🏴󠁧󠁢󠁥󠁮󠁧󠁿: a black flag, letters of a region in tags, and the end of tags.
fn names_a_flag(text: &[char], at: usize) -> bool {
    let is_tag = |c: &&char| matches!(c, '\u{E0020}'..='\u{E007E}');
    let before = text[..at].iter().rev().take_while(is_tag).count();
    let end =
        if text[at] == '\u{E007F}' { Some(at) } else { text[at..].iter().position(|c| !is_tag(&c)).map(|n| at + n) };
    let begins = (at - before).checked_sub(1).is_some_and(|flag| text[flag] == '\u{1F3F4}');
    let length = end.map_or(0, |end| end - (at - before));
    begins && end.is_some_and(|end| text[end] == '\u{E007F}') && (3..=6).contains(&length)
}
