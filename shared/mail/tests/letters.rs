//! Printed letters, domestic and international.

#![allow(clippy::unwrap_used)]

mod common;

use common::policy;
use jiff::civil::Date;
use proptest::prelude::*;
use vestibule_domain::outbox::letter::{Letter, LetterText};
use vestibule_domain::policy::Policy;
use vestibule_domain::values::ids::{AccountId, MessageId};
use vestibule_domain::values::text::{AddressLine, Addressee, Country, PostalAddress, Sensitive};
use vestibule_mail::letters::{Unprintable, check_address, lay_out, pdf};

fn address(lines: &[&str], city: &str, region: &str, code: &str, country: &str) -> PostalAddress {
    let line = |text: &&str| AddressLine::parse(text).unwrap();
    PostalAddress {
        addressee: Addressee::parse(lines[0]).unwrap(),
        lines: lines[1..].iter().map(line).collect(),
        city: line(&city),
        region: AddressLine::parse(region).ok(),
        postal_code: AddressLine::parse(code).ok(),
        country: Country::parse(country).unwrap(),
    }
}

fn letter(
    policy: &Policy,
    to: PostalAddress,
    greeting: &str,
    organization: Option<&str>,
) -> Letter {
    Letter {
        id: MessageId::from_bytes([7; 16]),
        portal: policy.portal.clone(),
        to,
        dated: Date::constant(2025, 12, 23),
        text: LetterText::Pin {
            account: AccountId::from_bytes([7; 16]),
            greeting: greeting.into(),
            organization: organization.map(str::to_owned),
            pin: Sensitive::new("4071"),
            expires_on: Date::constant(2026, 2, 21),
        },
    }
}

/// Returns the text of each page of a PDF.
fn texts(pdf: &[u8]) -> Vec<String> {
    pdf_extract::extract_text_from_mem_by_pages(pdf).unwrap()
}

/// Prints one letter and returns its text.
fn printed(letter: &Letter, policy: &Policy) -> String {
    let mut pages = texts(&pdf(&[lay_out(letter, policy).unwrap()]).unwrap());
    assert_eq!(pages.len(), 1, "one letter is one page");
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let page = lay_out(letter, policy).unwrap();
    assert_eq!(
        bare(&pages.remove(0)),
        bare(&page.text()),
        "what is printed is what is shown"
    );
    page.text()
}

fn check(name: &str, letter: &Letter, policy: &Policy) {
    let text = printed(letter, policy);
    let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let desk = &policy.help_desk;
    for named in [
        &policy.title,
        &policy.plan.name,
        &desk.name,
        &desk.phone,
        &desk.hours,
    ] {
        assert!(flowing.contains(named.as_str()), "{named}\n{text}");
    }
    assert!(flowing.contains(&format!("{}/pin", policy.site)), "{text}");
    insta::assert_snapshot!(name, text);
}

#[test]
fn me_06_a_member_at_home() {
    let policy = policy("member");
    let to = address(
        &["Grace Hopper", "1 Elm Street", "Apt. 4"],
        "Springfield",
        "IL",
        "62701-1234",
        "US",
    );
    check(
        "member_at_home",
        &letter(&policy, to, "Grace Hopper", None),
        &policy,
    );
}

#[test]
fn me_06_a_member_abroad() {
    let policy = policy("member");
    let to = address(
        &["Jürgen Groß", "Rosenthaler Straße 40-41", "Hinterhaus"],
        "Berlin",
        "",
        "10178",
        "DE",
    );
    check(
        "member_abroad",
        &letter(&policy, to, "Jürgen Groß", None),
        &policy,
    );
}

#[test]
fn mf_06_the_pin_of_a_reset() {
    let policy = policy("member");
    let to = address(
        &["Grace Hopper", "1 Elm Street"],
        "Springfield",
        "IL",
        "62701-1234",
        "US",
    );
    let reset = Letter {
        text: LetterText::FactorReset {
            account: AccountId::from_bytes([7; 16]),
            greeting: "Grace Hopper".into(),
            pin: Sensitive::new("407193"),
            expires_on: Date::constant(2026, 2, 21),
        },
        ..letter(&policy, to, "Grace Hopper", None)
    };
    let text = printed(&reset, &policy);
    assert!(
        text.contains("4 0 7 1 9 3") || text.contains("407193"),
        "{text}"
    );
    insta::assert_snapshot!("second_factor_reset", text);
}

#[test]
fn bl_03_an_organization() {
    let policy = policy("provider");
    let to = address(
        &[
            "Hopper & Sons Billing, LLC",
            "Attn: Grace Hopper",
            "1500 West Lake Street",
            "Suite 1200",
        ],
        "Chicago",
        "IL",
        "60601",
        "US",
    );
    check(
        "organization_at_home",
        &letter(
            &policy,
            to,
            "Grace Hopper",
            Some("Hopper & Sons Billing, LLC"),
        ),
        &policy,
    );
}

#[test]
fn letters_of_every_portal_are_us_letter_size() {
    for portal in [
        "agent", "group", "member", "provider", "practice", "producer", "employer",
    ] {
        let policy = policy(portal);
        let to = address(
            &["Grace Hopper", "1 Elm Street"],
            "Berlin",
            "",
            "10178",
            "DE",
        );
        let page = lay_out(&letter(&policy, to, "Grace Hopper", None), &policy).unwrap();
        let document = pdf_extract::Document::load_mem(&pdf(&[page]).unwrap()).unwrap();
        let page = document.get_dictionary(document.page_iter().next().unwrap());
        let corners = page.unwrap().get(b"MediaBox").unwrap().as_array().unwrap();
        let corners: Vec<_> = corners.iter().map(|c| c.as_float().unwrap()).collect();
        assert_eq!(corners, [0.0, 0.0, 612.0, 792.0], "{portal}");
    }
}

#[test]
fn a_plan_abroad_prints_on_its_own_paper() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../infra/portals/provider.toml"
    ))
    .unwrap();
    let text = text.replace("home_country = \"US\"", "home_country = \"DE\"");
    let policy = Policy::parse(policy("provider").portal, "provider.toml", &text).unwrap();
    let to = address(
        &[
            "Gemeinschaftspraxis Dr. Wolfeschlegelsteinhausen und Partner",
            "Abteilung Abrechnung, Haus B, 3. Obergeschoss",
            "c/o Frau Dr. Anneliese Müller-Lüdenscheidt-Hoppenstedt",
            "Rosenthaler Straße 40-41",
        ],
        "London",
        "Greater London",
        "SW1A 1AA",
        "GB",
    );
    check(
        "long_address",
        &letter(
            &policy,
            to,
            "Anneliese Müller-Lüdenscheidt",
            Some("Gemeinschaftspraxis Dr. Wolfeschlegelsteinhausen und Partner"),
        ),
        &policy,
    );
}

#[test]
fn hostile_names_stay_names() {
    let policy = policy("provider");
    let name = "<script>alert(1)</script>";
    let to = address(&[name, name], name, name, name, "US");
    let letter = letter(&policy, to, "Eve\n\nYour PIN: 0000 <script>", Some(name));
    let text = printed(&letter, &policy);
    assert!(
        !text.lines().any(|l| l.trim().starts_with("Your PIN: 0000")),
        "{text}"
    );
    assert_eq!(
        format!("{:?}", lay_out(&letter, &policy).unwrap()),
        "Page(***)"
    );
}

#[test]
fn names_with_accents_in_greek_and_in_cyrillic_are_printed_and_others_are_transliterated() {
    let policy = policy("member");
    let to = |name: &str| address(&[name, "1 Elm Street"], "Springfield", "IL", "62701", "US");
    for name in [
        "Zoë O’Brien-Núñez",
        "Nguyễn Thị Ánh",
        "Łukasz Żółć",
        "Ελένη Παπαδοπούλου",
        "Ольга Щербакова",
    ] {
        let text = printed(&letter(&policy, to(name), name, None), &policy);
        assert_eq!(
            text.matches(name).count(),
            2,
            "address and greeting\n{text}"
        );
    }
    for (name, printed_as) in [("偉 李", "Wei Li"), ("علي", "Ly"), ("김 Kim", "Gim Kim")] {
        let text = printed(&letter(&policy, to(name), name, None), &policy);
        assert_eq!(text.matches(printed_as).count(), 2, "{text}");
    }
    let sign = "\u{1f600} Ann";
    let error = lay_out(&letter(&policy, to(sign), sign, None), &policy).unwrap_err();
    assert_eq!(error.to_string(), "the font has no glyph for U+1F600");
    assert_eq!(check_address(&to(sign), &policy), Err(error));
}

#[test]
fn an_address_too_long_for_the_window_is_not_cut_off() {
    let policy = policy("member");
    let wide = "W".repeat(60);
    let to = address(&[&wide, "1 Elm Street"], "Springfield", "IL", "62701", "US");
    assert_eq!(check_address(&to, &policy), Err(Unprintable::TooLong));
    assert_eq!(
        lay_out(&letter(&policy, to, "Grace", None), &policy),
        Err(Unprintable::TooLong)
    );
}

#[test]
fn a_long_name_is_broken_between_words_on_the_envelope() {
    let policy = policy("provider");
    let name = "The Associated Physicians and Surgeons of the Greater Springfield Area and Surrounding Counties, Incorporated";
    let to = address(
        &["Grace", "1 Elm Street"],
        "Springfield",
        "IL",
        "62701",
        "US",
    );
    let to = PostalAddress {
        addressee: Addressee::parse(name).unwrap(),
        ..to
    };
    let text = printed(&letter(&policy, to, "Grace", Some(name)), &policy);
    let lines: Vec<_> = text.lines().collect();
    let first = lines
        .iter()
        .position(|l| l.starts_with("The Associated"))
        .unwrap();
    let street = lines.iter().position(|l| *l == "1 Elm Street").unwrap();
    assert!(street - first > 1, "{text}");
    assert_eq!(lines[first..street].join(" "), name);
}

#[test]
fn pages_come_in_their_order_and_the_same_letters_give_the_same_bytes() {
    let policy = policy("member");
    let pages = || -> Vec<_> {
        (0..50)
            .map(|n| {
                let name = format!("Grace Hopper {n}.");
                let to = address(&[&name, "1 Elm Street"], "Springfield", "IL", "62701", "US");
                lay_out(&letter(&policy, to, &name, None), &policy).unwrap()
            })
            .collect()
    };
    let first = pdf(&pages()).unwrap();
    let texts = texts(&first);
    assert_eq!(texts.len(), 50);
    for (n, text) in texts.iter().enumerate() {
        assert_eq!(
            text.matches(&format!("Grace Hopper {n}.")).count(),
            2,
            "{text}"
        );
    }
    assert!(first == pdf(&pages()).unwrap());
}

proptest! {
    #[test]
    fn any_letter_is_printed_or_reported_as_unprintable(
        lines in proptest::collection::vec("\\PC{0,60}|[a-zA-Zà-ž ]{0,60}", 5),
        country in proptest::sample::select(&["US", "DE", "GB", "CA", "JP", "HK", "PR", "BR", "IE", "MX"][..]),
        name in "[\\s\\S]{0,60}|[a-zA-Zà-ž ]{0,60}",
        pin in "[\\s\\S]{0,20}|[0-9]{4,8}",
        day in (-9999i16..=9999).prop_map(|y| Date::new(y, 1, 1).unwrap()),
    ) {
        let parts: Vec<_> = lines.iter().filter_map(|l| AddressLine::parse(l).ok()).collect();
        prop_assume!(parts.len() >= 2);
        let addressee = Addressee::parse(parts[0].as_str());
        prop_assume!(addressee.is_ok());
        let to = PostalAddress {
            addressee: addressee.unwrap(),
            city: parts[1].clone(),
            region: parts.get(2).cloned(),
            postal_code: parts.get(3).cloned(),
            lines: parts.into_iter().skip(4).collect(),
            country: Country::parse(country).unwrap(),
        };
        let policy = policy("provider");
        let mut letter = letter(&policy, to, &name, Some(&name));
        letter.dated = day;
        letter.text = LetterText::Pin { account: AccountId::from_bytes([7; 16]), greeting: name, organization: None, pin: Sensitive::new(pin), expires_on: day };
        if check_address(&letter.to, &policy).is_err() {
            prop_assert!(lay_out(&letter, &policy).is_err());
        }
        if let Ok(page) = lay_out(&letter, &policy) {
            prop_assert!(pdf(&[page]).unwrap().starts_with(b"%PDF-"));
        }
    }
}
