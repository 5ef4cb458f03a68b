use proptest::prelude::*;

use super::*;

/// WhatsApp's limit.
const WHATSAPP: usize = 4096;

fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn splits_on_blank_lines_when_asked_and_long_enough() {
    let text = "  Hi!\n\nHow are\nyou?\n \t\n\n\nBye.\n";
    assert_eq!(bubbles(text, true, 0, WHATSAPP), ["Hi!", "How are\nyou?", "Bye."]);
    assert_eq!(bubbles(text, true, 1000, WHATSAPP), ["Hi!\n\nHow are\nyou?\n \t\n\n\nBye."]);
    assert_eq!(bubbles(text, false, 0, WHATSAPP).len(), 1);
    assert_eq!(bubbles("a\r\n\r\nb", true, 0, WHATSAPP), ["a", "b"]);
    assert_eq!(bubbles("abc\n\nd", true, 6, WHATSAPP).len(), 1, "exactly split_over is not more");
    assert_eq!(bubbles("abc\n\nde", true, 6, WHATSAPP).len(), 2);
}

#[test]
fn nothing_makes_no_bubble() {
    for text in ["", "  ", "\n\n\n", "\u{a0}\u{2003}"] {
        assert!(bubbles(text, true, 0, WHATSAPP).is_empty());
        assert!(bubbles(text, false, 0, 1).is_empty());
    }
}

#[test]
fn a_fence_is_not_split_on_its_blank_lines() {
    let text = "See:\n\n```rust\nfn a() {}\n\nfn b() {}\n```\n\nDone.";
    assert_eq!(bubbles(text, true, 0, WHATSAPP), ["See:", "```rust\nfn a() {}\n\nfn b() {}\n```", "Done."]);
    let inline = "```a\n\nb``` and\n\n```c```\n\nd";
    assert_eq!(bubbles(inline, true, 0, WHATSAPP), ["```a\n\nb``` and", "```c```", "d"]);
    let longer = "````\n```\n\nx\n```\n````\n\ny";
    assert_eq!(bubbles(longer, true, 0, WHATSAPP), ["````\n```\n\nx\n```\n````", "y"]);
}

#[test]
fn cuts_at_the_best_place_before_the_limit() {
    assert_eq!(bubbles("aaaa bbbb\ncc dd", false, 0, 12), ["aaaa bbbb", "cc dd"], "newline");
    assert_eq!(bubbles("One two. Three four five", false, 0, 15), ["One two.", "Three four five"], "sentence");
    assert_eq!(bubbles("It is 3.14159 or so", false, 0, 12), ["It is", "3.14159 or", "so"], "no sentence in a number");
    assert_eq!(bubbles("aaaa bbbb cccc", false, 0, 11), ["aaaa bbbb", "cccc"], "space");
    assert_eq!(bubbles("你好。再见。好", false, 0, 5), ["你好。", "再见。好"], "no space needed");
    assert_eq!(bubbles("abcdefghij", false, 0, 4), ["abcd", "efgh", "ij"], "nothing better");
    assert_eq!(bubbles("see abcdefghijkl", false, 0, 12), ["see", "abcdefghijkl"], "a word stays whole");
    assert_eq!(bubbles("exactly ten", false, 0, 11), ["exactly ten"]);
}

#[test]
fn a_grapheme_is_whole_unless_it_is_over_the_limit_itself() {
    let family = "👨‍👩‍👧‍👦";
    assert_eq!(family.chars().count(), 7);
    assert_eq!(bubbles(&family.repeat(3), false, 0, 16), [family.repeat(2), family.to_owned()]);
    assert_eq!(bubbles(&format!("ab{family}"), false, 0, 8), ["ab", family]);
    let cut = bubbles(family, false, 0, 3);
    assert!(cut.iter().all(|piece| piece.chars().count() <= 3));
    assert_eq!(cut.concat(), family);
}

#[test]
fn a_cut_fence_is_closed_and_opened_again_with_its_language() {
    let line = "let value = compute();\n";
    let text = format!("Look:\n```rust\n{}```\nThat is all.", line.repeat(12));
    let cut = bubbles(&text, true, 0, 120);
    assert!(cut.len() > 2);
    for (index, piece) in cut.iter().enumerate() {
        assert!(piece.chars().count() <= 120);
        assert_eq!(runs(piece).count() % 2, 0, "piece {index} is balanced: {piece}");
        assert!(!piece.contains("```rust\n```"), "piece {index} is no empty block");
    }
    assert!(cut[1].starts_with("```rust\nlet value"));
    assert!(cut.last().expect("a piece").ends_with("That is all."));
    assert_eq!(cut.concat().matches("compute()").count(), 12);
}

#[test]
fn a_fence_keeps_its_indentation_and_its_edges() {
    let code = format!("```\n{}\n    indented\n```\nafter", "x".repeat(80));
    let cut = bubbles(&code, false, 0, 94);
    assert_eq!(cut[0], format!("```\n{}\n```", "x".repeat(80)));
    assert_eq!(cut[1], "```\n    indented\n```\nafter");

    let before = format!("{}\n```py\n{}\n```", "w ".repeat(40).trim(), "y".repeat(70));
    let cut = bubbles(&before, false, 0, 92);
    assert_eq!(cut[0], "w ".repeat(40).trim(), "the opening line goes with its code");
    assert_eq!(cut[1], format!("```py\n{}\n```", "y".repeat(70)));

    let ended = format!("```\n{}\n```\n{}", "z".repeat(80), "after ".repeat(12).trim());
    let cut = bubbles(&ended, false, 0, 92);
    assert_eq!(cut[0], format!("```\n{}\n```", "z".repeat(80)));
    assert_eq!(cut[1], "after ".repeat(12).trim(), "no empty block in front");
}

fn prose() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            "[a-z]{1,12}",
            Just(" ".to_owned()),
            Just("\n".to_owned()),
            Just("\n\n".to_owned()),
            Just(". ".to_owned()),
            Just("👨‍👩‍👧‍👦".to_owned()),
            Just("e\u{301}".to_owned()),
            Just("\r\n".to_owned()),
            "[^`]{0,6}",
        ],
        0..60,
    )
    .prop_map(|words| words.concat())
}

fn with_fences() -> impl Strategy<Value = String> {
    let piece = prop_oneof![prose(), Just("```\n".to_owned()), Just("\n```\n".to_owned()), Just("```` ".to_owned())];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_paragraph_is_a_bubble_once_the_blank_line_behind_it_has_come() {
    let so_far = |text| bubbles_so_far(text, false, WHATSAPP);
    assert_eq!(so_far("Hi!"), [""; 0]);
    assert_eq!(so_far("Hi!\n"), [""; 0]);
    assert_eq!(so_far("Hi!\n  "), [""; 0], "what may become an indented line");
    assert_eq!(so_far("Hi!\n  \n"), ["Hi!"]);
    assert_eq!(so_far("Hi!\n\nHow are"), ["Hi!"]);
    assert_eq!(so_far("```\na\n\nb\n"), [""; 0], "a fence is open");
    assert_eq!(so_far("```\na\n\nb\n```\n\n"), ["```\na\n\nb\n```"]);
    assert_eq!(bubbles_so_far("Hi!\n\nHow are", true, WHATSAPP), ["Hi!", "How are"]);
}

proptest! {
    #[test]
    fn what_went_out_of_a_growing_text_stays_as_it_is(
        text in prop_oneof![prose(), with_fences()], at in any::<prop::sample::Index>(), limit in 1..90_usize,
    ) {
        let places: Vec<_> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let before = bubbles_so_far(&text[..*at.get(&places)], false, limit);
        prop_assert!(bubbles_so_far(&text, true, limit).starts_with(&before));
        prop_assert_eq!(bubbles_so_far(&text, true, limit), bubbles(&text, true, 0, limit));
    }

    #[test]
    fn only_whitespace_is_lost_and_order_is_kept(
        text in prose(), split in any::<bool>(), split_over in 0..80_usize, limit in 1..90_usize,
    ) {
        let cut = bubbles(&text, split, split_over, limit);
        prop_assert_eq!(visible(&cut.concat()), visible(&text));
        for piece in &cut {
            prop_assert!(!piece.is_empty() && piece.trim() == piece && piece.chars().count() <= limit);
        }
    }

    #[test]
    fn a_word_is_whole_where_it_fits(text in "([a-z]{1,9}[ \n]){1,60}", limit in 9..40_usize) {
        let words: Vec<_> = text.split_whitespace().collect();
        let cut = bubbles(&text, true, 0, limit);
        let kept: Vec<_> = cut.iter().flat_map(|piece| piece.split_whitespace()).collect();
        prop_assert_eq!(kept, words);
    }

    #[test]
    fn fences_lose_nothing_but_their_own_ticks(
        text in with_fences(), split in any::<bool>(), limit in prop_oneof![1..40_usize, 40..200_usize],
    ) {
        let cut = bubbles(&text, split, 0, limit);
        let bare = |text: &str| visible(text).replace('`', "");
        prop_assert_eq!(bare(&cut.concat()), bare(&text));
        for piece in &cut {
            prop_assert!(!piece.is_empty() && piece.chars().count() <= limit);
        }
    }
}
